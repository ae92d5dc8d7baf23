"""One HTTP request as the services see it, and the answers they give: bounded, JSON only.

What a client sends is checked here once: size, time, depth, and values that no store could keep (a NUL in a text,
an integer beyond 64 bits). Everything after this file deals with plain, small Python values.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from suimon.api.errors import UNCOMPLIABLE, Dialect, NotAcceptable, TooLarge, TooSlow, UnsupportedMediaType
from suimon.model.errors import BadRequest

BODY_LIMIT_BYTES: Final = 1 << 20
BODY_TIMEOUT_S: Final = 30.0
DEPTH_LIMIT: Final = 16
"""Levels of lists and objects in a body; the deepest that any call needs is 6."""
QUERY_LIMIT: Final = 1000
"""Parameters in a query. Clients repeat a key for every id they ask for."""
_INT64: Final = 1 << 63
MOST_LISTED: Final = 1000
"""Of what has no pages: as many as one call shows, or brings."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request: where it goes, who sent it, and its body when asked for."""

    request: Request
    id: str
    segments: tuple[str, ...]
    origin: str
    """Scheme and authority under which the client reaches us, without a slash at the end."""

    @property
    def method(self) -> str:
        return self.request.method

    def header(self, name: str) -> str:
        return self.request.headers.get(name, "")

    @property
    def client(self) -> str:
        """The address the request came from, for throttling."""
        return self.request.client.host if self.request.client else ""

    def query(self) -> list[tuple[str, str]]:
        """The query's parameters in order, repeated keys and empty values kept. Raises BadRequest: too many, a NUL."""
        raw = self.request.scope["query_string"].decode("latin-1")
        if not raw:
            return []
        try:
            pairs = parse_qsl(raw, keep_blank_values=True, max_num_fields=QUERY_LIMIT)
        except ValueError:
            raise BadRequest(f"More than {QUERY_LIMIT} query parameters.") from None
        if "%00" in raw and any("\0" in key or "\0" in value for key, value in pairs):
            raise BadRequest("A query parameter contains a NUL character.")
        return pairs

    async def json(self) -> object:
        """The body as plain values; None when it is empty.

        Raises BadRequest, TooLarge, TooSlow, UnsupportedMediaType.
        """
        if (packed := self.header("content-encoding")) not in ("", "identity"):
            raise UnsupportedMediaType(f"A request body with the Content-Encoding {packed[:20]} is not unpacked.")
        body = await self.body()
        return decoded(body) if body else None

    async def body(self) -> bytes:
        """As it came. Raises BadRequest, TooLarge, TooSlow."""
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await self._body()
        except TimeoutError:
            raise TooSlow("The request body did not arrive in time.") from None

    async def _body(self) -> bytes:
        if int_or_zero(self.header("content-length")) > BODY_LIMIT_BYTES:
            raise _too_large()
        parts, size = [], 0
        try:
            async for part in self.request.stream():
                size += len(part)
                if size > BODY_LIMIT_BYTES:
                    raise _too_large()
                parts.append(part)
        except ClientDisconnect:
            raise BadRequest("The client left before its request was complete.") from None
        return b"".join(parts)


class Service(Protocol):
    """What answers for one first segment of the path."""

    @property
    def dialect(self) -> Dialect: ...

    async def answer(self, call: Call) -> Response: ...


def decoded(body: bytes) -> object:
    """JSON to values. Raises BadRequest with Neutron's words for whatever is not sound JSON."""
    try:
        value = msgspec.json.decode(body)
        _check(value, DEPTH_LIMIT)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise BadRequest("Body contains invalid data") from None
    return value


def _check(value: object, depth: int) -> None:
    """Raises ValueError when a value is too deep, or could not be stored and sent back unchanged."""
    match value:
        case str():
            if "\0" in value:
                raise ValueError
        case int():
            if not -_INT64 <= value < _INT64:
                raise ValueError
        case dict() | list():
            if not depth:
                raise ValueError
            for item in value.values() if isinstance(value, dict) else value:
                _check(item, depth - 1)
            if isinstance(value, dict) and any("\0" in key for key in value):
                raise ValueError


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; `content` may be bytes that are JSON already."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, headers, "application/json")


def no_content() -> Response:
    """204: done, and nothing to say."""
    return Response(status_code=204)


def require_json_accepted(call: Call) -> None:
    """Raises NotAcceptable when the Accept header rules JSON out."""
    accept = call.header("accept")
    if accept and not any(kind in accept for kind in ("json", "*/*", "application/*")):
        raise NotAcceptable(UNCOMPLIABLE)


def int_or_zero(text: str) -> int:
    """A decimal number of a header; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def converted(body: object, type_: type[T]) -> T:
    """The body as that. Raises BadRequest."""
    try:
        return msgspec.convert({} if body is None else body, type_)
    except msgspec.ValidationError as error:
        raise BadRequest(f"That can't be asked for so: {error}.") from None


def limit_of(query: list[tuple[str, str]]) -> int:
    """How many are asked for at most. Raises BadRequest."""
    text = dict(query).get("limit", "100")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_LISTED):
        raise BadRequest(f"A limit is a number from 1 to {MOST_LISTED}.")
    return int(text)


def time_of(asked: Mapping[str, str], name: str, default_s: float) -> float:
    """What a query says under this name, in seconds since 1970. Raises BadRequest."""
    text = asked.get(name)
    if not text:
        return default_s
    try:
        if text.replace(".", "", 1).isdigit():
            found = float(text)
        else:
            moment = datetime.fromisoformat(text)
            found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        found = -1.0
    if not 0 <= found < 1e11:
        raise BadRequest(f"`{name}` is a time as in ISO 8601 (UTC, if it doesn't say), or seconds since 1970.")
    return found


def _too_large() -> TooLarge:
    return TooLarge(f"The request body is larger than {BODY_LIMIT_BYTES} bytes.")
