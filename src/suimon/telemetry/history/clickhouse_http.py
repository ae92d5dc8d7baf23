"""A ClickHouse server, spoken to over HTTP as all its versions since 18.16 understand it. Blocking, for threads.

A request is a connection of its own: there is one in some seconds. User and password go in headers, not in the URL,
which servers and proxies write into their logs.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

_CONNECT_S: Final = 5.0
_MOST_BYTES: Final = 64 << 20
_AT_ONCE: Final = 1 << 20
_CODE: Final = re.compile(r"Code: (\d+)")


class ServerError(OSError):
    """The server says no; `code` is ClickHouse's, 0 when it told none."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        code = _CODE.search(said)
        self.code = int(code[1]) if code else 0


class Address(msgspec.Struct, frozen=True):
    """Whom to ask, as whom. `ca_file` is trusted instead of the system's certificates."""

    host: str
    l4_port: int
    tls: bool = False
    database: str = "default"
    user: str = "default"
    ca_file: str | None = None


def address(url: str, user: str = "default", ca_file: str | None = None) -> Address:
    """Of http(s)://HOST[:PORT][/DATABASE]. Raises ValueError."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL of ClickHouse has no user and no password in it: others see arguments")
    database = parts.path.strip("/") or "default"
    plain = not (parts.query or parts.fragment) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", database)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError(f"{url!r} is no URL of ClickHouse, as in https://192.0.2.7:8443/DATABASE")
    if not user or not user.isprintable() or not user.isascii():
        raise ValueError("the user of ClickHouse is a word in ASCII")
    tls = parts.scheme == "https"
    return Address(parts.hostname, parts.port or (8443 if tls else 8123), tls, database, user, ca_file)


class Server:
    """Any number of threads may ask."""

    def __init__(self, at: Address, password: str = "") -> None:
        """Raises ValueError for a password that no header can carry."""
        if password and not (password.isascii() and password.isprintable()):
            raise ValueError("the password of ClickHouse is one line of ASCII")
        self._at = at
        self._headers = {"X-ClickHouse-User": at.user, "X-ClickHouse-Key": password}
        self._connections: set[http.client.HTTPConnection] = set()

    def __str__(self) -> str:
        return f"ClickHouse at {self._at.host}:{self._at.l4_port}"

    def ask(self, statement: str, timeout_s: float, **settings: object) -> str:
        """What it answers, TSV unless the statement says otherwise. Raises OSError, TimeoutError."""
        # Else what goes wrong midway would follow the first rows of an answer that began with 200.
        said = self._post({"wait_end_of_query": 1, **settings}, statement.encode(), timeout_s)
        return said.decode(errors="replace")

    def put(self, statement: str, body: bytes, timeout_s: float, query_id: str) -> None:
        """An INSERT with its data. While it goes on, the server refuses another with the same id. Raises the same."""
        self._post({"query": statement, "query_id": query_id}, body, timeout_s)

    def close(self) -> None:
        """Who waits gets an OSError."""
        for each in list(self._connections):
            if each.sock is not None:
                with suppress(OSError):
                    each.sock.shutdown(socket.SHUT_RDWR)

    def _post(self, parameters: Mapping[str, object], body: bytes, timeout_s: float) -> bytes:
        path = "/?" + urlencode({"database": self._at.database, **parameters})
        until_s = time.monotonic() + timeout_s
        try:
            with self._connected(until_s) as connection:
                connection.request("POST", path, body, self._headers)
                _wait(connection, until_s)
                response = connection.getresponse()
                said = b"".join(_parts(connection, response, until_s))
        except (http.client.HTTPException, ssl.SSLError) as error:
            raise OSError(f"{self}: {str(error) or type(error).__name__}") from error
        except TimeoutError as error:
            raise TimeoutError(f"{self}: no answer in {timeout_s:g} s") from error
        except OSError as error:
            raise OSError(f"{self}: {error}") from error
        if response.status != 200:
            lines = said.decode(errors="replace").splitlines()
            raise ServerError(f"{self}: {lines[0][:300] if lines else f'HTTP {response.status}'}")
        return said

    @contextmanager
    def _connected(self, until_s: float) -> Iterator[http.client.HTTPConnection]:
        timeout_s = min(_CONNECT_S, max(0.001, until_s - time.monotonic()))
        made: http.client.HTTPConnection
        if self._at.tls:
            context = ssl.create_default_context(cafile=self._at.ca_file)
            made = http.client.HTTPSConnection(self._at.host, self._at.l4_port, timeout=timeout_s, context=context)
        else:
            made = http.client.HTTPConnection(self._at.host, self._at.l4_port, timeout=timeout_s)
        self._connections.add(made)
        try:
            made.connect()
            _wait(made, until_s)
            yield made
        finally:
            self._connections.discard(made)
            made.close()


def _wait(connection: http.client.HTTPConnection, until_s: float) -> None:
    """What comes next may take as long as is left. Raises TimeoutError."""
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    if connection.sock is not None:
        connection.sock.settimeout(left_s)


def _parts(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, until_s: float
) -> Iterator[bytes]:
    """Raises OSError when there are too many."""
    size = 0
    while part := response.read(_AT_ONCE):
        size += len(part)
        if size > _MOST_BYTES:
            raise OSError(f"an answer of more than {_MOST_BYTES} bytes")
        _wait(connection, until_s)
        yield part
