"""Several processes that serve the same two sockets: each is a whole controller, and the database is what they share.

A worker is this program again, with the sockets it inherits. It ends when told to, and when its standard input does:
then whoever started it is gone, and a new one would find its sockets taken.
"""

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

import structlog

from suimon.cli.listener import ListenError

_PAUSE_S: Final = 1.0
"""Before a worker that died is replaced."""
_ENDING_S: Final = 10.0
log = structlog.get_logger()


async def supervise(
    count: int, sockets: Sequence[socket.socket], ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Keeps so many workers until `stop`; calls `ready` when all are.

    Raises ListenError when one can't start; it has said why itself.
    """
    command = [sys.executable, *sys.argv, "--worker", ",".join(str(each.fileno()) for each in sockets)]
    async with AsyncExitStack() as running:
        # The first alone: it makes the tables and the admin's account if there are none.
        workers = [await _started(command, sockets, running)]
        workers += await asyncio.gather(*(_started(command, sockets, running) for _ in range(count - 1)))
        ready()
        stopping = asyncio.ensure_future(stop.wait())
        deaths = {asyncio.ensure_future(worker.wait()): worker for worker in workers}
        while not stopping.done():
            await asyncio.wait((stopping, *deaths), return_when=asyncio.FIRST_COMPLETED)
            for death in [each for each in deaths if each.done() and not stopping.done()]:
                log.error("worker_died", pid=deaths.pop(death).pid, status=death.result())
                await asyncio.wait((stopping,), timeout=_PAUSE_S)
                worker = await _started(command, sockets, running)
                deaths[asyncio.ensure_future(worker.wait())] = worker


def inherited(descriptors: str) -> list[socket.socket]:
    """In a worker: its sockets, by what `--worker` says."""
    return [socket.socket(fileno=int(number)) for number in descriptors.split(",")]


def stop_with_parent(stop: asyncio.Event) -> None:
    """In a worker: set `stop` when the process that started it is gone."""
    loop, lifeline = asyncio.get_running_loop(), sys.stdin.fileno()

    def ended() -> None:
        loop.remove_reader(lifeline)
        stop.set()

    loop.add_reader(lifeline, ended)


async def _started(
    command: Sequence[str], sockets: Sequence[socket.socket], running: AsyncExitStack
) -> asyncio.subprocess.Process:
    """A worker that said that it is ready; it is stopped with `running`."""
    worker = await asyncio.create_subprocess_exec(
        *command,
        pass_fds=[each.fileno() for each in sockets],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    running.push_async_callback(_end, worker)
    assert worker.stdout
    if not await worker.stdout.readline():
        raise ListenError(f"A worker could not start (status {await worker.wait()}).")
    return worker


async def _end(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        worker.terminate()
        try:
            await asyncio.wait_for(worker.wait(), _ENDING_S)
        except TimeoutError:
            worker.kill()
            await worker.wait()
