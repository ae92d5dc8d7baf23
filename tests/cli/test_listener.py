"""What a stranger can make a listener hold: a bounded head, for a bounded time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog

from suimon.cli import listener
from suimon.cli.listener import Endpoint, Listener, bound

PATIENCE_S = 120
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def no_reader(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
    """Answers without a look at the body, `/N` with so many bytes."""
    size = int(scope["path"].strip("/") or 2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(size).encode())]})
    await send({"type": "http.response.body", "body": (b"ok" * size)[:size]})


def talk_to_listener(talk: Talk, application: Any = application) -> None:
    """`talk` has a connection to a running listener."""

    async def run() -> None:
        where = Endpoint("127.0.0.1", 0, "--listen")
        with bound(where) as made:
            port = made.getsockname()[1]
            server = Listener(application, where, made)
            async with asyncio.TaskGroup() as tasks, asyncio.timeout(PATIENCE_S):
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


async def heard(reader: asyncio.StreamReader) -> int:
    """Bytes until the other side ended it."""
    count = 0
    try:
        while part := await reader.read(65536):
            count += len(part)
    except ConnectionError:
        pass
    return count


@pytest.mark.parametrize("answered", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_empty_lines_before_a_request_are_no_request(answered: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_TIMEOUT_S", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def drip() -> None:
            while True:
                writer.write(b"\r\n")
                await asyncio.sleep(0.05)

        writer.write(answered)
        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(4):
            await heard(reader)
        dripping.cancel()

    talk_to_listener(talk)


@pytest.mark.parametrize("rest", [b"", b"x"], ids=["silent", "dripping"])
def test_the_rest_of_a_request_that_was_answered_is_not_awaited_for_ever(
    rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HEAD_TIMEOUT_S", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def drip() -> None:
            while rest:
                writer.write(rest)
                await asyncio.sleep(0.05)

        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert await answer(reader) == b"HTTP/1.1 200 OK ok"
        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(4):
            await heard(reader)
        dripping.cancel()

    talk_to_listener(talk, no_reader)


def test_a_request_that_was_answered_early_may_be_followed_by_another() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
            assert await answer(reader) == b"HTTP/1.1 200 OK ok"
            writer.write(b"x" * 200_000)

    talk_to_listener(talk, no_reader)


@pytest.mark.parametrize(
    "part",
    [b"x" * 65536, b"1;" + b"y" * 65533 + b"\r\nz\r\n", b"0\r\n" + b"X: " + b"y" * 65536],
    ids=["body", "chunk_extension", "trailer"],
)
def test_what_nobody_reads_has_an_end(part: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\n"
    head += b"Content-Length: 99999999999\r\n\r\n" if part.startswith(b"x") else b"Transfer-Encoding: chunked\r\n\r\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        sent = 0
        with pytest.raises(ConnectionError):
            while sent < 100_000_000:
                writer.write(part if sent == 0 or part[0] != ord("0") else b"y" * 65536)
                await writer.drain()
                sent += 65536
        assert listener.MESSAGE_LIMIT_BYTES // 2 < sent < 4 * listener.MESSAGE_LIMIT_BYTES

    talk_to_listener(talk, no_reader)


@pytest.mark.parametrize("count", [1, 2], ids=["alone", "with_the_next_behind_it"])
def test_an_answer_that_is_not_taken_is_dropped(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LOOK_TICKS", 3)
    was_cut, cut = asyncio.Event(), listener._BoundedHttp.cut
    monkeypatch.setattr(listener._BoundedHttp, "cut", lambda connection: (cut(connection), was_cut.set()))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport: Any = writer.transport
        transport.pause_reading()
        writer.write(b"GET /30000000 HTTP/1.1\r\nHost: x\r\n\r\n" * count)
        await was_cut.wait()
        transport.resume_reading()
        assert await heard(reader) < 30_000_000

    talk_to_listener(talk, no_reader)


def test_an_answer_that_is_taken_slowly_is_sent_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LOOK_TICKS", 3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /30000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        count = 0
        while part := await reader.read(1 << 20):
            count += len(part)
            await asyncio.sleep(0.02)
        assert count > 30_000_000

    talk_to_listener(talk, no_reader)


def test_a_client_with_one_large_answer_after_the_other_is_no_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LOOK_TICKS", 1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(20):
            writer.write(b"GET /20000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(20_000_000)

    talk_to_listener(talk, no_reader)


def test_of_too_many_connections_the_one_that_waits_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_most_connections", lambda: 3)
    monkeypatch.setattr(listener, "LOOK_TICKS", 2)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        await asyncio.sleep(0.1)
        idle = []
        for _ in range(5):
            idle.append(await asyncio.open_connection("127.0.0.1", port))
            await asyncio.sleep(0.05)
        for one, _ in idle[:3]:
            assert await heard(one) == 0
        for one, its in idle[3:]:
            its.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await answer(one) == b"HTTP/1.1 200 OK ok"
        writer.write(b"x")
        assert await answer(reader) == b"HTTP/1.1 200 OK ok"
        await asyncio.sleep(0.3)
        for _, its in idle:
            its.close()

    with structlog.testing.capture_logs() as logs:
        talk_to_listener(talk)
    said = [log for log in logs if log["event"] == "connections_near_limit"]
    assert sum(log["sent_away"] for log in said) == 3
    assert said[0]["most"] == 3


@pytest.mark.parametrize("limits, set_to, most", [
    ((1024, 4096), (4096, 4096), 1984), ((1024, -1), (20000, -1), 9936), ((-1, -1), None, 9936), ((256, 256), None, 64)
])  # fmt: skip
def test_the_process_may_open_as_many_files_as_the_system_lets_it(
    limits: tuple[int, int], set_to: tuple[int, int] | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(listener.resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(listener.resource, "setrlimit", lambda _, limit: told.append(limit))
    assert listener._most_connections() == most
    assert told == ([set_to] if set_to else [])


def test_a_question_that_waits_when_we_stop_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()

    async def waits(*_: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asked.wait()

    talk_to_listener(talk, waits)
    assert "timeout graceful shutdown exceeded" in caplog.text
    assert "Exception" not in caplog.text and "without" not in caplog.text


def test_what_comes_behind_a_body_is_no_header() -> None:
    seen: list[bytes] = []

    async def reader_of_headers(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await application(scope, receive, send)
        seen.extend(name for name, _ in scope["headers"])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Auth-Token: y\r\n\r\n")
        assert await answer(reader) == b"HTTP/1.1 200 OK ok"

    talk_to_listener(talk, reader_of_headers)
    assert seen == [b"transfer-encoding"]
