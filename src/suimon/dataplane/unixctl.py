"""The control socket of an Open vSwitch daemon: what ovs-appctl(8) asks, without a process for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from suimon.dataplane.jsonrpc import Framer, receive

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

    Raises CommandRefused, OSError when nobody listens, TimeoutError, ValueError on an answer that is none.
    """
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            writer.write(msgspec.json.encode({"id": 0, "method": name, "params": arguments}))
            await writer.drain()
            framer = Framer(_MOST_BYTES)
            while not (answers := await receive(reader, framer)):
                pass
        except EOFError as error:
            raise ConnectionResetError(f"{socket} closed before it answered {name}") from error
        finally:
            writer.close()
    if answers[0].failed:
        raise CommandRefused(msgspec.json.decode(answers[0].error, type=str).strip())
    return msgspec.json.decode(answers[0].result, type=str)
