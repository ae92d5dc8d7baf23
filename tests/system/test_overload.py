"""A real controller and clients that mean it no good: slow ones, many, and more than there are files for."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from suimon.api.wire import BODY_TIMEOUT_S
from suimon.cli.listener import HEAD_TIMEOUT_S, LOOK_TICKS
from tests.api.cloud import login_body
from tests.api.controller import Controller, free_port, started
from tests.system import hasty

IDLE = 1_000
FILES = 300
"""What the controller with few files may open."""
GROWTH_MOST_KIB = 50 << 10
PATIENCE_S = 120
CROWDED = "connections_near_limit"
HEAD_S, BODY_S = HEAD_TIMEOUT_S / hasty.TIMES, BODY_TIMEOUT_S / hasty.TIMES
SLOW_S = 2 * LOOK_TICKS / 10 / hasty.TIMES
"""After so long, who takes nothing of his answer was noticed."""


class Hasty(Controller):
    def command(self) -> list[str]:
        return [sys.executable, hasty.__file__, str(hasty.TIMES), *super().command()[1:]]


class WithFewFiles(Hasty):
    """Its shell says `ulimit -n`."""

    def command(self) -> list[str]:
        return ["prlimit", f"--nofile={FILES}:{FILES}", *super().command()]


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    with started(tmp_path / "state") as made:
        yield made


@asynccontextmanager
async def ordinary(controller: Controller) -> AsyncIterator[aiohttp.ClientSession]:
    """A client as all are, with a token."""
    timeout = aiohttp.ClientTimeout(total=20)
    password = (controller.state / "clouds.yaml").read_text().split('password: "')[1].split('"')[0]
    body = login_body("admin", password, {"project": {"name": "admin", "domain": {"name": "Default"}}})
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession(controller.url, timeout=timeout) as session:
        async with session.post("/identity/v3/auth/tokens", json=body) as answer:
            session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
        yield session


async def change(session: aiohttp.ClientSession) -> None:
    """A network made and deleted."""
    async with session.post("/v2.0/networks", json={"network": {}}) as answer:
        assert answer.status == 201
        made = (await answer.json())["network"]["id"]
    async with session.delete(f"/v2.0/networks/{made}") as answer:
        assert answer.status == 204


async def work(session: aiohttp.ClientSession, until: asyncio.Event) -> int:
    """Changes, again and again; how many."""
    count = 0
    while not until.is_set():
        await change(session)
        count += 1
        await asyncio.sleep(0.1)
    return count


async def ended(reader: asyncio.StreamReader) -> bytes:
    """The first that was said on it; returns when the other side has closed it."""
    said = b""
    try:
        while part := await reader.read(65536):
            said = said or part
    except ConnectionError:
        pass
    return said


async def drip(controller: Controller, start: bytes) -> tuple[float, bytes]:
    """Says `start`, then a byte a second; how long it was listened to, and the answer's first line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", controller.port)
    began = time.monotonic()
    writer.write(start)
    answered = asyncio.create_task(ended(reader))
    while not answered.done():
        writer.write(b"a")
        await asyncio.wait((answered,), timeout=1)
    writer.close()
    return time.monotonic() - began, answered.result().partition(b"\r\n")[0]


async def deaf(controller: Controller, token: str) -> float:
    """Asks for much and reads nothing; how long the controller kept it for him."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", controller.port))
    # As many answers as nobody's buffers hold: each waits for the one before it.
    asking = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %b\r\n\r\n" % token.encode()
    made.sendall(asking * 100)
    began, port = time.monotonic(), made.getsockname()[1]
    # What the kernel has taken it goes on offering for a while, by itself: the controller is rid of it.
    while "ESTAB" in await connections(controller, f"and dport = :{port}"):  # noqa: ASYNC110 (within patience)
        await asyncio.sleep(1)
    made.close()
    return time.monotonic() - began


async def connections(controller: Controller, which: str = "") -> str:
    """What the controller's side of them is, as `ss` tells it."""
    asking = await asyncio.create_subprocess_exec(
        "ss", "-Htn", f"sport = :{controller.port} {which}", stdout=asyncio.subprocess.PIPE
    )
    return (await asking.communicate())[0].decode()


def memory_kib(controller: Controller) -> int:
    status = Path(f"/proc/{controller.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_slow_clients_are_cut_off_and_others_served(tmp_path: Path) -> None:
    async def run(controller: Controller) -> None:
        async with ordinary(controller) as session:
            token, stop = session.headers["X-Auth-Token"], asyncio.Event()
            post = b"POST /v2.0/networks HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %b\r\n" % token.encode()
            working = asyncio.create_task(work(session, stop))
            heads, bodies, chunks, unread, unheard = await asyncio.gather(
                drip(controller, b"GET /v2.0/networks HTTP/1.1\r\nX-"),
                drip(controller, post + b"Content-Length: 1000\r\n\r\n{"),
                drip(controller, post + b"Transfer-Encoding: chunked\r\n\r\n100000\r\n{"),
                drip(controller, b"POST /nosuch HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"),
                deaf(controller, token),
            )
            stop.set()
            assert await working > 20 // hasty.TIMES
        assert heads[1] == b"" and HEAD_S - 1 < heads[0] < HEAD_S + 10
        for told in (bodies, chunks):
            assert told[1] == b"HTTP/1.1 408 Request Timeout"
            assert BODY_S - 1 < told[0] < BODY_S + 10
        assert unread[1] == b"HTTP/1.1 404 Not Found" and unread[0] < HEAD_S + 10
        assert unheard < SLOW_S + 20

    made = Hasty(tmp_path / "state", free_port(), free_port())
    made.start()
    try:
        asyncio.run(run(made))
    finally:
        made.stop(signal.SIGKILL)


async def opened(controller: Controller, count: int) -> list[socket.socket]:
    made = []
    for _ in range(count):
        made.append(socket.create_connection(("127.0.0.1", controller.port)))
        await asyncio.sleep(0)
    return made


def test_a_thousand_idle_connections_are_no_hindrance(controller: Controller) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def run() -> None:
        async with ordinary(controller) as session:
            stop, before = asyncio.Event(), memory_kib(controller)
            idle = await opened(controller, IDLE)
            working = asyncio.create_task(work(session, stop))
            await asyncio.sleep(2)
            stop.set()
            assert await working > 5
            assert (await connections(controller)).count("ESTAB") > IDLE
            assert memory_kib(controller) - before < GROWTH_MOST_KIB
            for one in idle:
                one.close()

    asyncio.run(run())
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert CROWDED not in controller.log()


def test_more_connections_than_files_are_said_and_no_hindrance_either(tmp_path: Path) -> None:
    controller = WithFewFiles(tmp_path / "state", free_port(), free_port())
    controller.start()

    async def run() -> None:
        async with ordinary(controller) as session:
            idle = await opened(controller, FILES)
            while CROWDED not in controller.log():
                await change(session)
            idle += await opened(controller, FILES)
            for _ in range(20):
                await change(session)
            assert (await connections(controller)).count("ESTAB") < FILES / 2
            for one in idle:
                one.close()

    try:
        asyncio.run(run())
        log = controller.log()
        assert "LimitNOFILE" in log
        assert "request_failed" not in log and "Traceback" not in log
    finally:
        controller.stop()
