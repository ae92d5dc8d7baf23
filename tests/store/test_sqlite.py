"""The store in a file: what it refuses to open, and what it says when the file fails it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from suimon.model.errors import Unavailable
from suimon.model.things import Network
from suimon.store import Store, StoreConfig, StoreError, Tx
from tests.store.test_store import Runner, network


def in_file(folder: Path, **more: Any) -> StoreConfig:
    return StoreConfig(f"sqlite:///{folder}/store.db", **more)


def opening(folder: Path) -> str:
    store = Store(in_file(folder))
    with pytest.raises(StoreError) as caught:
        store.open()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    runner = Runner(in_file(tmp_path))
    assert "in use by process" in opening(tmp_path)
    runner.close()


def test_a_store_can_be_opened_again_after_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    file.write_bytes(b"junk" * 5000)
    assert "damaged" in opening(tmp_path)
    file.unlink()
    Runner(in_file(tmp_path)).close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_nobody_else_reads_the_database_from_its_first_byte(tmp_path: Path) -> None:
    def modes() -> dict[str, int]:
        return {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if file.is_file()}

    before = os.umask(0)
    try:
        runner = Runner(in_file(tmp_path))
        runner.write(network)
        expected = dict.fromkeys(("store.db", "store.db-wal", "store.db-shm", "store.db.lock"), 0o600)
        assert modes() == expected
        runner.close()
        (tmp_path / "store.db").chmod(0o644)
        runner = Runner(in_file(tmp_path))
        runner.write(lambda tx: network(tx, "other", 2))
        assert modes() == expected
        runner.close()
    finally:
        os.umask(before)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    runner = Runner(in_file(tmp_path))
    runner.write(network)

    def fill(tx: Tx) -> None:
        pages = tx._connection.exec_driver_sql("PRAGMA page_count").scalar()
        tx._connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        for number in range(2, 1000):
            network(tx, f"n{number}", number)

    position = runner.store.position()
    with pytest.raises(Unavailable, match="is full"):
        runner.write(fill)
    runner.write(lambda tx: tx._connection.exec_driver_sql("PRAGMA max_page_count=1000000"))
    assert runner.store.position() == position
    assert len(runner.read(lambda tx: tx.select(Network))) == 1
    runner.close()


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "check that its directory exists" in opening(tmp_path / "nowhere")


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    assert "can't be opened" in opening(tmp_path)


def test_a_newer_database(tmp_path: Path) -> None:
    Runner(in_file(tmp_path)).close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "newer Suimon (schema 9999" in opening(tmp_path)


def test_somebody_elses_database(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("CREATE TABLE theirs (a)")
    assert "something else" in opening(tmp_path)


def test_a_locked_database_is_not_the_callers_fault(tmp_path: Path) -> None:
    runner = Runner(in_file(tmp_path, busy_timeout_s=0.05))
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        runner.write(network)
    other.execute("ROLLBACK")
    runner.write(network)
    other.close()
    runner.close()


def test_a_database_locked_while_opening(tmp_path: Path) -> None:
    Runner(in_file(tmp_path)).close()
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    store = Store(in_file(tmp_path, busy_timeout_s=0.05))
    with pytest.raises(StoreError, match="locked by another program"):
        store.open()
    other.close()
