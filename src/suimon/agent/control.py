"""Local commands to a running agent over a Unix socket in its state directory: one JSON line each way.

The socket is the operator's way past the controller: it works when the controller is away, and only root reaches it
because the state directory is root's alone. The answer is `{"lines": […]}` for people or `{"error": "…"}`.
"""

import asyncio
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

log = structlog.get_logger()

Command = Callable[[Mapping[str, str], str], Awaitable[list[str]]]
"""Takes the request's arguments and who asks, and gives the lines to print; raises `CommandError` to refuse."""
_NOBODY: Final = 0xFFFFFFFF
"""The login of what nobody logged in for, such as a daemon (pam_loginuid(8))."""
_PROCESSES: Final = Path("/proc")
_PEER: Final = struct.Struct("=iII")
"""struct ucred (unix(7))."""


class CommandError(Exception):
    """The command can't be done; the message says why."""


class Request(msgspec.Struct, frozen=True):
    command: str
    arguments: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    lines: list[str] = []
    error: str = ""


class Config(msgspec.Struct, frozen=True):
    request_timeout_s: float = 5.0
    max_request_bytes: int = 64 << 10


class Control:
    """Answers at `path` with `commands`."""

    def __init__(self, config: Config, path: Path, commands: Mapping[str, Command]) -> None:
        self._config = config
        self._path = path
        self._commands = commands

    async def run(self) -> None:
        """Returns only if it can't listen: the agent does its work without it."""
        try:
            self._path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._serve, self._path, limit=self._config.max_request_bytes)
        except OSError as error:
            log.error("control_socket_failed", path=str(self._path), reason=str(error))
            return
        async with server:
            self._path.chmod(0o600)
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                answer = await self._answer(await reader.readline(), _asker(writer))
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError) as error:  # ValueError: the line is too long.
            log.warning("control_request_failed", reason=str(error) or type(error).__name__)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, line: bytes, by: str) -> Answer:
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return Answer(error=f"not a request: {error}")
        command = self._commands.get(request.command)
        if command is None:
            return Answer(error=f"unknown command {request.command!r}; there are {', '.join(sorted(self._commands))}")
        try:
            return Answer(await command(request.arguments, by))
        except CommandError as error:
            return Answer(error=str(error))


def person(pid: int | str = "self") -> str:
    """Who logged in to what a process is part of, as the kernel says it, or whose it is; "" for one that is gone.

    sudo(8) and su(1) change whose it is, and not who logged in.
    """
    process = _PROCESSES / str(pid)
    try:
        uid = process.stat().st_uid
        with suppress(OSError, ValueError):  # A kernel without auditing knows no logins.
            login = int((process / "loginuid").read_text())
            uid = uid if login == _NOBODY else login
    except OSError:
        return ""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _asker(writer: asyncio.StreamWriter) -> str:
    """Who is at the other end. Raises OSError."""
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as peer:
        pid, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return person(pid) or f"uid {uid}"


async def ask(path: Path, request: Request, timeout_s: float = 10.0) -> list[str]:
    """The lines that the agent at `path` answers; `CommandError` if it refuses, OSError if no agent listens."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_unix_connection(path, limit=256 << 20)
        try:
            writer.write(msgspec.json.encode(request) + b"\n")
            answer = msgspec.json.decode(await reader.readline(), type=Answer)
        finally:
            writer.close()
    if answer.error:
        raise CommandError(answer.error)
    return answer.lines
