"""A daemon's control socket: kept between commands, and opened anew after whatever went wrong with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from suimon.dataplane.unixctl import CommandRefused, ControlSocket, command


class Daemon:
    """Answers a command by its name and arguments; `hang` gets no answer, after `quit` the connection is closed."""

    def __init__(self) -> None:
        self.opened = 0
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        while data := await reader.read(4096):
            request = msgspec.json.decode(data)
            self.asked.set()
            match request["method"]:
                case "quit":
                    break
                case "hang":
                    continue
                case "refuse":
                    answer = {"id": 0, "result": None, "error": "no\n"}
                case name:
                    answer = {"id": 0, "result": " ".join([name, *request["params"]]), "error": None}
            writer.write(msgspec.json.encode(answer))
        writer.close()
        self.left.set()


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[Daemon, ControlSocket]]:
    daemon = Daemon()
    server = await asyncio.start_unix_server(daemon.serve, path)
    control = ControlSocket(lambda: path)
    try:
        async with asyncio.timeout(20):
            yield daemon, control
    finally:
        control.close()
        server.close()


def test_many_commands_are_one_connection(tmp_path: Path) -> None:
    async def body() -> None:
        async with serving(tmp_path / "s") as (daemon, control):
            assert await asyncio.gather(*(control.command("say", f"{n}") for n in range(3))) == [
                "say 0",
                "say 1",
                "say 2",
            ]
            with pytest.raises(CommandRefused, match=r"^no$"):
                await control.command("refuse")
            assert await control.command("say") == "say"
            assert daemon.opened == 1

    asyncio.run(body())


def test_a_connection_that_broke_is_opened_anew(tmp_path: Path) -> None:
    async def body() -> None:
        async with serving(tmp_path / "s") as (daemon, control):
            with pytest.raises(ConnectionResetError, match="before quit was answered"):
                await control.command("quit")
            assert await control.command("say") == "say"
            assert daemon.opened == 2

    asyncio.run(body())


def test_an_answer_that_nobody_waits_for_is_no_answer_to_the_next(tmp_path: Path) -> None:
    async def body() -> None:
        async with serving(tmp_path / "s") as (daemon, control):
            hanging = asyncio.create_task(control.command("hang"))
            await daemon.asked.wait()
            hanging.cancel()
            await asyncio.wait([hanging])
            await daemon.left.wait()
            assert await control.command("say") == "say"
            assert daemon.opened == 2

    asyncio.run(body())


def test_a_command_by_itself_leaves_no_connection(tmp_path: Path) -> None:
    async def body() -> None:
        async with serving(tmp_path / "s") as (daemon, _):
            assert await command(tmp_path / "s", "say", "it") == "say it"
            await daemon.left.wait()

    asyncio.run(body())


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(ControlSocket(lambda: tmp_path / "none").command("say"))
