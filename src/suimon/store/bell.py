"""Hearing of the commits of other controllers: a thread that waits for PostgreSQL's NOTIFY.

A notification carries nothing: it says "look". So that one which never came does no harm, the thread also looks now
and then unasked, and after every new connection.
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
    """Rings `look(connection)` from the moment it is made until `close()`."""

    def __init__(
        self,
        connection: Connection,
        connect: Callable[[], Connection],
        look: Callable[[Connection], None],
        fallback_s: float,
    ) -> None:
        self._connection = connection
        self._connect = connect
        self._look = look
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
                while self._wait():
                    self._look(self._connection)
            except (DBAPIError, Again, CallerError, StoreError, OSError) as error:
                log.warning("bell_lost", reason=" ".join(str(error).split()) or "the line broke")
                self._connection.close()
                if self._closes_within(_PAUSE_S):
                    return
            else:
                return

    def _wait(self) -> bool:
        """For a notification or our patience's end; False: for being closed. Raises OSError when the line breaks."""
        driver: Any = self._connection.connection.driver_connection
        readable, _, _ = select.select([driver.fileno(), self._closing], [], [], self._fallback_s)
        if self._closing in readable:
            return False
        if readable:
            _take_notifications(driver.pgconn)
        return True

    def _closes_within(self, seconds: float) -> bool:
        return bool(select.select([self._closing], [], [], seconds)[0])


def _take_notifications(line: Any) -> None:
    # Imported here: with SQLite there is no need for it.
    from psycopg import OperationalError

    try:
        line.consume_input()
        while line.notifies():
            pass
    except OperationalError as error:
        raise OSError(str(error)) from error
