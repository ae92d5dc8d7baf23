"""What controllers keep everything in, as something that can be locked, and killed if it is a server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from suimon.store.postgresql import WRITING
from tests.postgresql import PrivateCluster, name_of


class File:
    """SQLite's."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody writes meanwhile."""
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=10)) as store:
            store.execute("BEGIN IMMEDIATE")
            yield
            store.execute("ROLLBACK")


class Server:
    """PostgreSQL, which can be killed; `url` is the cloud's database on it."""

    def __init__(self, cluster: PrivateCluster) -> None:
        self._cluster = cluster
        self.url = cluster.url()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody writes meanwhile."""
        with self._cluster.connect(name_of(self.url)) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (WRITING,))
            yield

    @contextmanager
    def killed(self) -> Iterator[None]:
        """kill -9; afterwards it is started again, and answers."""
        self._cluster.kill()
        yield
        self._cluster.start()
