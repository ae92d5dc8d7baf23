"""A listener: an address bound early, served by uvicorn later, with bounds on what a stranger can make us hold.

uvicorn bounds neither the length of a request's head nor the time it takes to arrive, neither how long an answer may
wait to be read nor how many connections there are: one client could fill the memory before any of our code sees it.
`_BoundedHttp` does; how long a body may be and take is up to the applications.
"""

import asyncio
import errno
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT_BYTES: Final = 64 << 10
HEAD_TIMEOUT_S: Final = 20.0
"""For the head of a request, and for the rest of one that was answered before it was complete."""
MESSAGE_LIMIT_BYTES: Final = 8 << 20
"""All that may come for one request, read or not: more than any application takes."""
LOOK_TICKS: Final = 100
"""Tenths of a second between two looks at who takes his answers."""
TAKEN_LEAST_BYTES: Final = 64 << 10
"""What has to leave of an answer from one look to the next."""
DESCRIPTORS_MOST: Final = 20_000
"""Connections may have so many, whatever the system allows: each could hold the head of a request."""
_DESCRIPTORS_KEPT: Final = 128
"""For the database, files and what else the process opens."""
_CROWDED: Final = 0.8
_CLOSING_S: Final = 1
"""How long a request may go on after we were told to stop; streams are closed at once."""
_ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 (what an operator may have given, not what we choose)
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
log = structlog.get_logger()


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
        self._crowd = _Crowd()
        super().__init__(
            uvicorn.Config(
                self._answering(app),
                http=partial(_BoundedHttp, crowd=self._crowd),  # type: ignore[arg-type]
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
        self._where = where
        self._socket = bound_socket
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The command catches the signals for all listeners."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, and says so."""
        self._crowd.most = _most_connections()
        await super().startup(sockets)
        self.ready.set()

    async def on_tick(self, counter: int) -> bool:
        """As uvicorn's; now and then, who takes nothing of his answer is cut off, and it is said if many came."""
        if counter % LOOK_TICKS == 0:
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, _BoundedHttp) and connection.takes_too_little():
                    connection.cut()
            self._say_crowded()
        return await super().on_tick(counter)

    def _answering(self, app: Any) -> Any:
        """The application; a question that still waits when we have to stop is refused, and no fault of ours."""

        async def answering(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not self.should_exit:
                    raise
                # uvicorn says so when some of an answer was sent already.
                with suppress(RuntimeError):
                    await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
                    await send({"type": "http.response.body"})

        return answering

    def _say_crowded(self) -> None:
        crowd, count = self._crowd, len(self.server_state.connections)
        if crowd.sent_away or count > crowd.most * _CROWDED:
            log.warning(
                "connections_near_limit",
                listen=f"{self._where.host}:{self._where.port}",
                connections=count,
                most=crowd.most,
                sent_away=crowd.sent_away,
                meaning="At the limit, who waits longest without a request is sent away. If these are your clients, "
                "let the process open more files (LimitNOFILE= of its unit, ulimit -n).",
            )
            crowd.sent_away = 0

    async def run_bound(self) -> None:
        """Until `should_exit` is set."""
        await self.serve([self._socket])


class _Crowd:
    """All connections of a listener: how many there may be, and which wait for a request, the longest first."""

    def __init__(self) -> None:
        self.most = 0
        self.waiting: dict[_BoundedHttp, None] = {}
        self.sent_away = 0
        """Since it was last said."""

    def make_room(self) -> None:
        """One of too many has to go; who has just come waits, too, so there is always one."""
        next(iter(self.waiting)).cut()
        self.sent_away += 1


class _BoundedHttp(HttpToolsProtocol):
    """A connection that ends when a request is too long or not there in time, and when its answers aren't taken."""

    def __init__(self, *args: Any, crowd: _Crowd, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._crowd = crowd
        self._in_head = True
        self._bytes = 0
        """Of the request that is coming."""
        self._left_bytes = 0
        """To be sent, at the last look; 0 when more could be added since."""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()
        if len(self.connections) > self._crowd.most:
            self._crowd.make_room()

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        super().data_received(data)
        if self._in_head and self._bytes > HEAD_LIMIT_BYTES:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._bytes > MESSAGE_LIMIT_BYTES:
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # Behind a body in chunks come more, which nobody reads.
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._forget_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._bytes = True, 0

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._left_bytes = 0
        if self.cycle.response_complete and not self.transport.is_closing():
            self._expect_head()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._left_bytes = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def takes_too_little(self) -> bool:
        """Whether next to nothing has left since this was asked before, and nothing was added to it."""
        answered = self.cycle is not None and self.cycle.response_complete
        settled = answered or self.flow.write_paused or self.transport.is_closing()
        before, self._left_bytes = self._left_bytes, self.transport.get_write_buffer_size() if settled else 0
        return bool(before and self._left_bytes) and before - self._left_bytes < TAKEN_LEAST_BYTES

    def cut(self) -> None:
        """Now, whatever has not been sent."""
        self._forget_deadline()
        self.transport.abort()

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(HEAD_TIMEOUT_S, self.transport.close)
            self._crowd.waiting[self] = None

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._crowd.waiting.pop(self)


def _most_connections() -> int:
    """Of each of a controller's two listeners. The process may then open as many files as the system lets it."""
    soft, hard = (
        DESCRIPTORS_MOST if limit == resource.RLIM_INFINITY else min(limit, DESCRIPTORS_MOST)
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return max((hard - _DESCRIPTORS_KEPT) // 2, 1)
