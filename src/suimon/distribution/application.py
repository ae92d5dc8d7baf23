"""The hosts' own listener: join, watch, report, and whether we are alive; nothing else.

A host names nothing of itself once it has joined: what it sees and may report on follows from its credential.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from suimon.distribution.collectors import Collectors
from suimon.distribution.distribution import Distribution
from suimon.distribution.frames import line
from suimon.distribution.links import Link
from suimon.model.collectors import CollectorJoin, MapRequest
from suimon.model.errors import BadRequest, CallerError, Unauthorized
from suimon.model.findings import Finding
from suimon.model.questions import Traced
from suimon.model.things import Host
from suimon.model.view import Join, Ping, Report, Retry, Watch

T = TypeVar("T", Join, Watch, Report, Traced, CollectorJoin, MapRequest, list[Finding])
Answer = Callable[[Request], Awaitable[Response]]

_USUAL_BYTES: Final = 4 << 20
_MOST_BYTES: Final[dict[object, int]] = dict.fromkeys((Join, Traced, CollectorJoin, MapRequest), 64 << 10)
_LONGEST_CREDENTIAL: Final = 256
_LINES: Final = "application/x-ndjson"


def hosts_app(distribution: Distribution, collectors: Collectors) -> Starlette:
    """An ASGI application for a listener of its own. Errors are `{"error": "one sentence"}`."""

    async def join(request: Request) -> Response:
        wanted = await _body(request, Join, distribution.config.body_timeout_s)
        return _json(await distribution.join(wanted))

    async def watch(request: Request) -> Response:
        host = await _host(request, distribution)
        asked = await _body(request, Watch, distribution.config.body_timeout_s)
        match await distribution.watch(host, asked):
            case Link() as link:
                return _Stream(link, distribution)
            case after_s:
                return Response(line(Retry(after_s)), media_type=_LINES)

    async def report(request: Request) -> Response:
        host = await _host(request, distribution)
        await distribution.report(host, await _body(request, Report, distribution.config.body_timeout_s))
        return Response(status_code=204)

    async def answer(request: Request) -> Response:
        host = await _host(request, distribution)
        traced = await _body(request, Traced, distribution.config.body_timeout_s)
        await distribution.questions.arrived(host.name, traced)
        return Response(status_code=204)

    async def join_collector(request: Request) -> Response:
        return _json(await collectors.join(await _body(request, CollectorJoin, distribution.config.body_timeout_s)))

    async def ports(request: Request) -> Response:
        collector = await collectors.authenticate(_credential(request))
        asked = await _body(request, MapRequest, distribution.config.body_timeout_s)
        await collectors.heard(collector, asked.failed)
        return _json(await collectors.ports(asked))

    async def findings(request: Request) -> Response:
        await collectors.authenticate(_credential(request))
        told = await _body(request, list[Finding], distribution.config.body_timeout_s)
        await collectors.findings(told)
        return _json({"noted": len(told)})

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    posts = {"join": join, "watch": watch, "report": report, "answer": answer}
    posts |= {"collectors": join_collector, "ports": ports, "findings": findings}
    routes = [Route(f"/hosts/v1/{name}", _told(answer), methods=["POST"]) for name, answer in posts.items()]
    return Starlette(routes=[*routes, Route("/healthz", healthz)])


class _Stream(Response):
    """The frames of a link as lines, and pings between them, until either side closes."""

    def __init__(self, link: Link, distribution: Distribution) -> None:
        super().__init__(media_type=_LINES)
        # Its length is unknown: without this, the server holds it to be empty.
        del self.headers["content-length"]
        self._link = link
        self._distribution = distribution
        self._ping_at_s = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        departure = asyncio.create_task(self._await_departure(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while (frame := await self._next()) is not None:
                async with asyncio.timeout(self._distribution.config.send_timeout_s):
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (TimeoutError, OSError):
            pass  # The host is gone or takes nothing more: it comes back with its position.
        finally:
            self._distribution.left(self._link)
            departure.cancel()

    async def _next(self) -> bytes | None:
        try:
            return await self._link.receive(max(self._ping_at_s - time.monotonic(), 0.0))
        except TimeoutError:
            self._ping_at_s = time.monotonic() + self._distribution.config.ping_s
        return line(Ping(max(self._link.revision, self._distribution.revision), self._distribution.now_s()))

    async def _await_departure(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._link.close()


def _told(answer: Answer) -> Answer:
    """Errors of the caller's, in words."""

    async def told(request: Request) -> Response:
        try:
            return await answer(request)
        except CallerError as error:
            return _json({"error": error.message}, error.status)

    return told


async def _host(request: Request, distribution: Distribution) -> Host:
    return await distribution.authenticate(_credential(request))


def _credential(request: Request) -> str:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(credential) <= _LONGEST_CREDENTIAL:
        raise Unauthorized("A host shows its credential as `Authorization: Bearer …`; it gets one by joining.")
    return credential


async def _body(request: Request, type_: type[T], timeout_s: float) -> T:
    """Raises BadRequest for what is too long, too slow or not such a message."""
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > (most := _MOST_BYTES.get(type_, _USUAL_BYTES)):
                    raise BadRequest(f"The body is longer than {most} bytes.")
        return msgspec.json.decode(body, type=type_)
    except TimeoutError:
        raise BadRequest(f"The body did not arrive within {timeout_s:g} s.") from None
    except ClientDisconnect:
        raise BadRequest("The host went away before all of the body was here.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not a {type_.__name__}: {error}.") from None


def _json(thing: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(thing), status, media_type="application/json")
