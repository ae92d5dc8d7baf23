"""Local commands over the agent's socket."""

import asyncio
import re
from contextlib import asynccontextmanager

import pytest

from suimon.agent import control
from suimon.agent.control import CommandError, Config, Control, Request, ask, person


async def echo(arguments, by):
    return [f"{name}={value}" for name, value in arguments.items()]


async def refuse(arguments, by):
    raise CommandError("nothing is held")


async def tell(arguments, by):
    return [by]


@asynccontextmanager
async def listening(path):
    task = asyncio.create_task(Control(Config(0.2), path, {"echo": echo, "accept": refuse, "tell": tell}).run())
    try:
        async with asyncio.timeout(5):
            while not path.is_socket():  # noqa: ASYNC110  (a file system has no events here)
                await asyncio.sleep(0.001)
        yield
    finally:
        task.cancel()


def asked(tmp_path, request):
    async def scene():
        async with listening(tmp_path / "s"):
            return await ask(tmp_path / "s", request)

    return asyncio.run(scene())


def test_a_command_answers_in_lines(tmp_path):
    assert asked(tmp_path, Request("echo", {"port": "p"})) == ["port=p"]


@pytest.mark.parametrize(
    ("command", "words"), [("accept", "nothing is held"), ("rm", "unknown command 'rm'; there are accept, echo, tell")]
)
def test_a_command_that_cannot_be_done_says_why(tmp_path, command, words):
    with pytest.raises(CommandError, match=words):
        asked(tmp_path, Request(command))


def test_a_command_knows_who_asks_whatever_they_say(tmp_path):
    assert asked(tmp_path, Request("tell", {"by": "somebody else"})) == [person()]
    assert re.fullmatch(r"(\S+ \()?uid \d+\)?", person())


def test_who_has_logged_in_is_told_and_else_whose_process_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "_PROCESSES", tmp_path)
    process = tmp_path / "7"
    process.mkdir()
    owner = process.stat().st_uid
    assert person(7).endswith(f"uid {owner})")
    for login, told in (("4294967295", owner), ("nonsense", owner), ("54321", 54321)):
        (process / "loginuid").write_text(login)
        assert f"uid {told}" in person(7)
    assert person(8) == ""


@pytest.mark.parametrize("line", [b"garbage\n", b'{"command": 5}\n', b"x" * 100_000 + b"\n", b"never ends"])
def test_nonsense_does_not_stop_the_next_command(tmp_path, line):
    async def scene():
        async with listening(tmp_path / "s"):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.write(line)
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return await ask(tmp_path / "s", Request("echo", {"still": "there"}))

    assert asyncio.run(scene()) == ["still=there"]


def test_a_socket_left_by_a_killed_agent_is_replaced(tmp_path):
    (tmp_path / "s").touch()
    assert asked(tmp_path, Request("echo")) == []
