"""What a stranger can make a listener hold: a bounded head, for a bounded time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from suimon.cli import listener
from suimon.cli.listener import Endpoint, Listener, bound

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def talk_to_listener(talk: Talk) -> None:
    """`talk` has a connection to a running listener."""

    async def run() -> None:
        where = Endpoint("127.0.0.1", 0, "--listen")
        with bound(where) as made:
            port = made.getsockname()[1]
            server = Listener(application, where, made)
            async with asyncio.TaskGroup() as tasks, asyncio.timeout(30):
                tasks.create_task(server.run_bound())
                await server.ready.wait()
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    await talk(reader, writer)
                    writer.close()
                finally:
                    server.should_exit = True

    asyncio.run(run())


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split(b"\r\n")[0] + (b" " + await reader.readexactly(2) if b" 200 " in head else b"")


def test_requests_one_after_the_other_with_long_bodies() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
            assert await answer(reader) == b"HTTP/1.1 200 OK ok"

    talk_to_listener(talk)


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9_000])
def test_a_head_without_end_is_cut_off(start: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        sent = len(start)
        with pytest.raises(ConnectionError):
            while sent < 50_000_000:
                writer.write(b"a" * 65536 if b"y" not in start else b"X: y\r\n" * 10_000)
                await writer.drain()
                sent += 65536
        assert sent < 10_000_000

    talk_to_listener(talk)


def test_the_second_request_of_a_connection_is_bounded_too() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await answer(reader) == b"HTTP/1.1 200 OK ok"
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"a" * (listener.HEAD_LIMIT_BYTES + 1))
        assert await answer(reader) == b"HTTP/1.1 431 Request Header Fields Too Large"
        assert await reader.read() == b""

    talk_to_listener(talk)


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /"])
def test_a_head_that_does_not_come_is_given_up(first: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_TIMEOUT_S", 0.2)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        async with asyncio.timeout(4):
            assert (await reader.read()).count(b"HTTP/1.1") == first.count(b"\r\n\r\n")

    talk_to_listener(talk)
