"""The control socket of an Open vSwitch daemon: what ovs-appctl(8) asks, without a process for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from suimon.dataplane.jsonrpc import Framer, Message, receive

_MOST_BYTES = 1 << 26


class CommandRefused(Exception):
    """The daemon did not do it; str() is its own explanation."""


def vswitchd(rundir: Path) -> Path:
    """The control socket of the ovs-vswitchd that runs now, which has its process id in its name.

    Raises OSError or ValueError when none does.
    """
    return rundir / f"ovs-vswitchd.{int((rundir / 'ovs-vswitchd.pid').read_text())}.ctl"


async def command(socket: Path, name: str, *arguments: str, timeout_s: float = 10.0) -> str:
    """The output of one command, as `ofproto/trace` or `dpctl/dump-conntrack`.

    Raises as `ControlSocket.command` does.
    """
    control = ControlSocket(lambda: socket, timeout_s)
    try:
        return await control.command(name, *arguments)
    finally:
        control.close()


class ControlSocket:
    """A daemon's control socket, which `find` says; it is opened by the first command and kept for the next ones.

    To open and to close one costs the daemon more than most commands do. One that broke is opened anew by the next
    command. `close()` when done.
    """

    def __init__(self, find: Callable[[], Path], timeout_s: float = 10.0) -> None:
        self._find = find
        self._timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def command(self, name: str, *arguments: str) -> str:
        """Its output. One after the other.

        Raises CommandRefused, what `find` raises, OSError when nobody listens, TimeoutError, ValueError on an answer
        that is none.
        """
        async with self._turn, asyncio.timeout(self._timeout_s):
            try:
                answer = await self._answered(msgspec.json.encode({"id": 0, "method": name, "params": arguments}))
            except EOFError as error:
                self.close()
                raise ConnectionResetError(f"the control socket was closed before {name} was answered") from error
            except BaseException:
                self.close()  # An answer that comes too late must not become that of the next command.
                raise
        if answer.failed:
            raise CommandRefused(msgspec.json.decode(answer.error, type=str).strip())
        return msgspec.json.decode(answer.result, type=str)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _answered(self, request: bytes) -> Message:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(str(self._find()))
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        framer = Framer(_MOST_BYTES)
        while not (answers := await receive(reader, framer)):
            pass
        return answers[0]
