"""The OpenFlow connection beside a switch of a few lines, on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from suimon.dataplane.openflow import messages
from suimon.dataplane.openflow.connection import Config, Connection
from suimon.dataplane.openflow.messages import HEADER, VERSION, Message, Type


def frame(kind: int, xid: int, body: bytes = b"", version: int = VERSION) -> bytes:
    return HEADER.pack(version, kind, HEADER.size + len(body), xid) + body


class Switch:
    """Says hello, and answers each barrier with what `answers` makes of its transaction id, in the pieces it gives."""

    def __init__(self) -> None:
        self.echoed = asyncio.Event()
        self.hello = frame(Type.HELLO, 0)

    def answers(self, xid: int) -> list[bytes]:
        return [frame(messages.BARRIER.kind + 1, xid)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.hello)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                _, kind, length, xid = HEADER.unpack(await reader.readexactly(HEADER.size))
                await reader.readexactly(length - HEADER.size)
                if kind == Type.ECHO_REPLY:
                    self.echoed.set()
                if kind == messages.BARRIER.kind:
                    for piece in self.answers(xid):
                        writer.write(piece)
                        await writer.drain()
                        await asyncio.sleep(0)
        writer.close()


@asynccontextmanager
async def connected(path: Path, switch: Switch) -> AsyncIterator[tuple[Connection, asyncio.Task[None]]]:
    server = await asyncio.start_unix_server(switch.serve, str(path / "br.mgmt"))
    connection = Connection(Config(timeout_s=5), path / "br.mgmt")
    running: asyncio.Task[None] = asyncio.create_task(connection.run())
    try:
        yield connection, running
    finally:
        running.cancel()
        server.close()
        await asyncio.gather(running, return_exceptions=True)


async def asked(connection: Connection) -> object:
    """A change that isn't refused: {}, once the barrier after it is answered."""
    return await connection.change([Message(Type.FLOW_MOD, bytes(48))])


def test_messages_are_put_together_however_they_are_cut(tmp_path: Path) -> None:
    class Cutting(Switch):
        def answers(self, xid: int) -> list[bytes]:
            whole = frame(Type.ECHO_REQUEST, 7, b"there?") + b"".join(super().answers(xid))
            return [whole[at : at + 1] for at in range(len(whole))]

    async def play() -> None:
        switch = Cutting()
        async with connected(tmp_path, switch) as (connection, _):
            assert await asked(connection) == {}
            await asyncio.wait_for(switch.echoed.wait(), 5)

    asyncio.run(play())


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(HEADER.pack(VERSION, Type.ERROR, 4, 1), id="shorter than its own header"),
        pytest.param(frame(Type.ERROR, 1, version=4), id="another version"),
        pytest.param(frame(Type.ERROR, 1), id="an error without a type"),
        pytest.param(b"", id="nothing any more"),
    ],
)
def test_nonsense_ends_the_connection_and_whoever_waits_is_told(tmp_path: Path, nonsense: bytes) -> None:
    class Raving(Switch):
        def answers(self, xid: int) -> list[bytes]:
            if not nonsense:
                raise ConnectionError
            return [nonsense]

    async def play() -> None:
        async with connected(tmp_path, Raving()) as (connection, running):
            with pytest.raises(ConnectionResetError):
                await asked(connection)
            with pytest.raises(ConnectionResetError, match=r"br\.mgmt ended: "):
                await asyncio.wait_for(running, 5)
            with pytest.raises(ConnectionResetError):
                await asked(connection)

    asyncio.run(play())


def test_a_switch_that_speaks_no_openflow_1_5_is_refused(tmp_path: Path) -> None:
    async def play() -> None:
        switch = Switch()
        switch.hello = frame(Type.HELLO, 0, version=4)
        async with connected(tmp_path, switch) as (_, running):
            with pytest.raises(ConnectionResetError, match="doesn't speak OpenFlow"):
                await asyncio.wait_for(running, 5)

    asyncio.run(play())
