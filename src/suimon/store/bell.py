"""Hearing of other controllers: a thread that waits for PostgreSQL's NOTIFY.

A notification that carries nothing says "look": there was a commit. So that one which never came does no harm, the
thread also looks now and then unasked, and after every new connection. One that carries something is a message, which
may be lost.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from suimon.model.errors import CallerError
from suimon.store.errors import Again, StoreError

CHANNEL: Final = "suimon"
_PAUSE_S: Final = 1.0
"""Between two attempts to reach a database that is away."""
log = structlog.get_logger()


class Bell:
    """Rings `look(connection)`, and `heard(message)`, from the moment it is made until `close()`."""

    def __init__(
        self,
        connection: Connection,
        connect: Callable[[], Connection],
        look: Callable[[Connection], None],
        heard: Callable[[str], None],
        fallback_s: float,
    ) -> None:
        self._connection = connection
        self._connect = connect
        self._look = look
        self._heard = heard
        self._fallback_s = fallback_s
        self._closing, self._close = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="store-bell", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Nothing rings afterwards."""
        self._close.send(b"x")
        self._thread.join()
        self._connection.close()
        self._closing.close()
        self._close.close()

    def _run(self) -> None:
        while True:
            try:
                if self._connection.closed:
                    self._connection = self._connect()
                    log.info("bell_found")
                self._connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                self._look(self._connection)
                while (said := self._wait()) is not None:
                    for message in filter(None, said):
                        self._heard(message)
                    if not said or "" in said:
                        self._look(self._connection)
            except (DBAPIError, Again, CallerError, StoreError, OSError) as error:
                log.warning("bell_lost", reason=" ".join(str(error).split()) or "the line broke")
                drop(self._connection)
                if self._closes_within(_PAUSE_S):
                    return
            else:
                return

    def _wait(self) -> list[str] | None:
        """For notifications, or our patience's end; None: for being closed. Raises OSError when the line breaks."""
        driver: Any = self._connection.connection.driver_connection
        readable, _, _ = select.select([driver.fileno(), self._closing], [], [], self._fallback_s)
        if self._closing in readable:
            return None
        return _notifications(driver.pgconn) if readable else []

    def _closes_within(self, seconds: float) -> bool:
        return bool(select.select([self._closing], [], [], seconds)[0])


def drop(connection: Connection) -> None:
    """Close one that may be broken: a rollback, as `close()` alone begins with, would fail at a server that is gone."""
    if not connection.closed:
        connection.invalidate()
        connection.close()


def _notifications(line: Any) -> list[str]:
    """What each of those that came carries."""
    # Imported here: with SQLite there is no need for it.
    from psycopg import OperationalError

    try:
        line.consume_input()
        return [each.extra.decode(errors="replace") for each in iter(line.notifies, None)]
    except OperationalError as error:
        raise OSError(str(error)) from error
