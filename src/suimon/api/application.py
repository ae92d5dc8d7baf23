"""The clients' ASGI application: a call gets its id, its service and, whatever happens, an answer."""

import re
import time
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from suimon.api.errors import MISSING, ServerFault
from suimon.api.wire import Call, Service, answer
from suimon.model.errors import CallerError, NotFound, Unavailable

log = structlog.get_logger()

_HOST: Final = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_ADDRESS_LENGTH: Final = 64
_RETRY_AFTER: Final = {429: "60", 503: "1"}


class Config(msgspec.Struct, frozen=True):
    """`public_url` is how clients reach us (`https://cloud.example:9696`) where a proxy stands between; it goes into
    links and the catalog. Empty: as the client's own Host header says, so that one controller may have several names.
    """

    public_url: str = ""
    keystone_url: str = ""
    """Where a Keystone knows the users, if not we: that is where who has no token is sent."""
    trusted_proxies: frozenset[str] = frozenset()
    """Addresses of proxies whose X-Forwarded-For says who called, which the throttling of logins counts by."""


class ClientsApp:
    """Answers HTTP with the service registered under the first segment of the path."""

    def __init__(self, config: Config, services: Mapping[str, Service]) -> None:
        self._public_url = config.public_url.rstrip("/")
        self._keystone_url = config.keystone_url
        self._trusted = config.trusted_proxies
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        if self._trusted:
            scope = _through_proxies(scope, self._trusted)
        request = Request(scope, receive)
        first, *rest = scope["path"].strip("/").split("/")
        call = Call(request, f"req-{uuid4()}", tuple(rest), self._origin(request))
        service = self._services.get(first) or self._services[""]
        response = await self._answer(service, call, first)
        response.headers["X-Openstack-Request-Id"] = call.id
        await response(scope, receive, send)
        log.debug(
            "request",
            method=call.method,
            path=scope["path"],
            status=response.status_code,
            ms=round((time.perf_counter() - began) * 1000, 1),
            request_id=call.id,
        )

    async def _answer(self, service: Service, call: Call, first: str) -> Response:
        try:
            if first not in self._services:
                raise NotFound(MISSING)
            return await service.answer(call)
        except CallerError as error:
            if isinstance(error, Unavailable):
                log.warning("unavailable", reason=error.message, method=call.method, request_id=call.id)
            return self._refusal(service, call, error)
        except Exception:
            log.exception("request_failed", method=call.method, path=call.request.url.path, request_id=call.id)
            fault = ServerFault("Request Failed: internal server error while processing your request.")
            return self._refusal(service, call, fault)

    def _refusal(self, service: Service, call: Call, error: CallerError) -> Response:
        headers = {}
        if error.status == 401:
            headers["WWW-Authenticate"] = f'Keystone uri="{self._keystone_url or call.origin + "/identity/v3"}"'
        if error.status in _RETRY_AFTER:
            headers["Retry-After"] = _RETRY_AFTER[error.status]
        if error.status == 408:
            headers["Connection"] = "close"  # What else comes of the body would be waited for again.
        return answer(service.dialect(error), error.status, headers)

    def _origin(self, request: Request) -> str:
        if self._public_url:
            return self._public_url
        host = request.headers.get("host", "")
        if not _HOST.fullmatch(host):
            address, port = request.scope["server"] or ("127.0.0.1", 9696)
            host = f"{address}:{port}"
        return f"{request.scope['scheme']}://{host}"


def _through_proxies(scope: Scope, trusted: frozenset[str]) -> Scope:
    """With the last address in X-Forwarded-For that isn't a trusted proxy's: what is before it anybody could write."""
    client = scope["client"]
    if client is None or client[0] not in trusted:
        return scope
    told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    for address in reversed([part.strip() for part in told.split(",")]):
        if address and address not in trusted:
            return {**scope, "client": (address[:_ADDRESS_LENGTH], 0)}
    return scope
