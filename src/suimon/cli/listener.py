"""A listener: an address bound early, served by uvicorn later, with bounds on what a stranger can make us hold.

uvicorn bounds neither the length of a request's head nor the time it takes to arrive: one connection could fill the
memory before any of our code sees it. `_BoundedHttp` does; the body is bounded by the applications.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT_BYTES: Final = 64 << 10
HEAD_TIMEOUT_S: Final = 20.0
_CLOSING_S: Final = 1
"""How long a request may go on after we were told to stop; streams are closed at once."""
_ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 (what an operator may have given, not what we choose)
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class ListenError(Exception):
    """There can be no listener like that. The message is one sentence for the operator that says what to do."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where to listen: `option` is what the operator would change."""

    host: str
    port: int
    option: str
    certificate: str = ""
    key: str = ""

    @property
    def url(self) -> str:
        """Under which address this machine itself reaches it."""
        host = "127.0.0.1" if self.host in _ANYWHERE else self.host
        return f"{'https' if self.certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"


def endpoint(text: str, option: str, certificate: str, key: str) -> Endpoint:
    """From HOST:PORT and the files of TLS, both or neither. Raises ListenError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ListenError(f"{option} {text!r} is not of the form HOST:PORT.")
    if bool(certificate) != bool(key):
        raise ListenError(f"TLS for {option} needs both a certificate and a key.")
    if certificate:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise ListenError(f"The certificate {certificate} or its key {key} can't be used ({error}).") from error
    return Endpoint(host, int(port), option, str(Path(certificate).absolute()) if certificate else "", key)


def bound(where: Endpoint) -> socket.socket:
    """A socket bound to the endpoint; it accepts connections once its listener runs. Raises ListenError."""
    made = socket.socket(socket.AF_INET6 if ":" in where.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((where.host, where.port))
    except OSError as error:
        made.close()
        place = f"{where.host} port {where.port}"
        if error.errno == errno.EADDRINUSE:
            raise ListenError(
                f"{place} is taken by another program: stop it, or choose with {where.option}."
            ) from error
        raise ListenError(f"Can't listen on {place} ({error.strerror}): choose with {where.option}.") from error
    return made


class Listener(uvicorn.Server):
    """uvicorn without its signal handlers, which two servers in a process can't both have. `ready`: it answers."""

    def __init__(self, app: Any, where: Endpoint, bound_socket: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_BoundedHttp,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_CLOSING_S,
                ssl_certfile=where.certificate or None,
                ssl_keyfile=where.key or None,
            )
        )
        self._socket = bound_socket
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The command catches the signals for all listeners."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, and says so."""
        await super().startup(sockets)
        self.ready.set()

    async def run_bound(self) -> None:
        """Until `should_exit` is set."""
        await self.serve([self._socket])


class _BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request's head is too long, or is not there in time."""

    _in_head = True
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_LIMIT_BYTES:
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._forget_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
