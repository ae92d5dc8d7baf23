"""What a collector answers over HTTP: controllers' questions about records, whether it is well, and its own losses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from suimon.model.collectors import Question, TalkAsked
from suimon.telemetry.collecting import Collecting
from suimon.telemetry.flow.receiver import Receiver
from suimon.telemetry.history.engine import QuestionRefused
from suimon.telemetry.history.filters import FilterError

_MOST_BYTES: Final = 16 << 10
_BODY_TIMEOUT_S: Final = 10.0


def answers_app(collecting: Collecting, receiver: Receiver, key: str) -> Starlette:
    """An ASGI application for a listener of its own. Errors are `{"error": "one sentence"}`."""

    async def told(request: Request, act: Callable[[bytes], Awaitable[object]]) -> Response:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(shown.encode(), key.encode()):
            return _json({"error": "Only controllers of the cloud may ask."}, 401)
        try:
            return _json(await act(await _body(request)))
        except (msgspec.MsgspecError, FilterError, QuestionRefused, ValueError) as error:
            return _json({"error": f"{error}"}, 400)
        except (TimeoutError, ClientDisconnect):
            return _json({"error": "The question did not arrive in time."}, 400)

    async def ask(request: Request) -> Response:
        return await told(request, lambda body: collecting.ask(msgspec.json.decode(body, type=Question)))

    async def talk(request: Request) -> Response:
        return await told(request, lambda body: collecting.talk(msgspec.json.decode(body, type=TalkAsked)))

    async def healthz(_request: Request) -> Response:
        """503 when nothing is kept: collecting goes on all the same."""
        if collecting.history_error:
            return PlainTextResponse(f"history has stopped: {collecting.history_error}\n", 503)
        return PlainTextResponse("ok\n")

    async def metrics(_request: Request) -> Response:
        return PlainTextResponse("\n".join([*collecting.metrics(receiver), ""]), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/flows/v1/ask", ask, methods=["POST"]),
            Route("/flows/v1/talk", talk, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/metrics", metrics),
        ]
    )


async def _body(request: Request) -> bytes:
    """Raises ValueError for one that is too long, TimeoutError."""
    body = bytearray()
    async with asyncio.timeout(_BODY_TIMEOUT_S):
        async for part in request.stream():
            body += part
            if len(body) > _MOST_BYTES:
                raise ValueError("the question is too long")
    return bytes(body)


def _json(thing: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(thing), status, media_type="application/json")
