"""Databases for tests of what is above the store: in a file, or, with SUIMON_TEST_DATABASE=postgresql, on a server."""

from __future__ import annotations

import atexit
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from suimon.store import Store, StoreConfig
from tests.postgresql import cluster, name_of

ON_POSTGRESQL = os.environ.get("SUIMON_TEST_DATABASE", "sqlite") == "postgresql"


def but_the_lock(heard: Iterable[str]) -> list[str]:
    """Statements as both databases have them: on PostgreSQL the BEGIN that writes brings a second one in the same
    message, the lock; and SQLite's driver tells of a DELETE once more for each of its cascades.
    """
    told = [statement for statement in heard if "pg_advisory_xact_lock" not in statement]
    return [each for each, before in zip(told, ["", *told], strict=False) if each != before or each[:6] != "DELETE"]


@contextmanager
def empty_database(*, on_postgresql: bool = ON_POSTGRESQL) -> Iterator[str]:
    """The URL of one with all tables and nothing in them. Migrating takes longer than most tests: it is done once."""
    if on_postgresql:
        url = cluster().url(template=_template_on_server())
        yield url
        cluster().drop(url)
        return
    with TemporaryDirectory(prefix="suimon-test-", dir=memory()) as folder:
        shutil.copy(template_file(), f"{folder}/store.db")
        yield f"sqlite:///{folder}/store.db"


def memory() -> Path | None:
    """Where files are kept in memory, if anywhere: each commit waits for the disk, and tests have many."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else None


@cache
def template_file() -> Path:
    """Of SQLite, with all tables and nothing in them; gone when the process ends."""
    folder = Path(mkdtemp(prefix="suimon-test-", dir=memory()))
    atexit.register(shutil.rmtree, folder)
    _migrate(f"sqlite:///{folder}/store.db")
    return folder / "store.db"


@cache
def _template_on_server() -> str:
    url = cluster().url()
    _migrate(url)
    return name_of(url)


def _migrate(url: str) -> None:
    store = Store(StoreConfig(url))
    store.open()
    store.close()
