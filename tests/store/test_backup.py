"""A backup is one whole state, of either database, and goes into either; what is put back begins a new epoch."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, select

from suimon.model.identity import Token
from suimon.store import StoreError, Tx, backup
from suimon.store.schema import NEWEST
from suimon.store.tables import METADATA
from tests import frozen
from tests.postgresql import cluster
from tests.resources.world import ADMIN, World

TABLES = [table for table in METADATA.sorted_tables if table not in backup._LEFT_OUT and table.name != "meta"]


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    made = World(url=store_url)
    network = made.network(name="n")
    made.subnet(network)
    made.port(network, name="first")
    made.host("hv1")
    made.write(lambda tx: tx.insert(token(tx)))
    yield made
    made.close()


def token(tx: Tx) -> Token:
    return Token(id="t", user_id="u", project_id="p", roles=(), audit_id="a", issued_at=tx.now, expires_at=tx.now)


@pytest.fixture(params=["sqlite", "postgresql"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/other.db"
        return
    url = cluster().url()
    yield url
    cluster().drop(url)


def contents(url: str) -> dict[str, list[tuple[object, ...]]]:
    with backup.looking(url) as tx:
        return {table.name: sorted(map(tuple, tx.rows(select(table), {})), key=repr) for table in TABLES}


def test_everything_but_tokens_comes_back_elsewhere_and_in_a_new_epoch(
    world: World, store_url: str, other_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    head = backup.back_up(store_url, file)
    before = contents(store_url)
    assert (head.store, head.epoch, head.revision) == world.store.position()
    assert file.stat().st_mode & 0o777 == 0o600
    back = backup.restore(other_url, file)
    assert contents(other_url) == before
    restored = World(url=other_url)
    assert restored.store.position() == (head.store, back.epoch, head.revision)
    assert back.epoch > head.epoch
    assert restored.read(lambda tx: tx.select(Token)) == []
    (port,) = restored.list("ports")
    taken = port["fixed_ips"][0]["ip_address"]
    assert restored.port(port["network_id"])["fixed_ips"][0]["ip_address"] != taken
    assert restored.store.position()[2] == head.revision + 1
    restored.close()


def test_a_backup_is_one_state_while_others_write(
    world: World, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = world.list("networks")[0]["id"]
    write = backup._write

    def late(tx: Tx, head: backup.Head, packed: gzip.GzipFile) -> None:
        world.port(network, name="later")
        write(tx, head, packed)

    monkeypatch.setattr(backup, "_write", late)
    head = backup.back_up(store_url, tmp_path / "backup")
    assert world.store.position()[2] == head.revision + 1
    assert b'"later"' not in gzip.decompress((tmp_path / "backup").read_bytes())


def test_a_restored_store_can_be_restored_again_and_begins_another_epoch(
    world: World, store_url: str, other_url: str, tmp_path: Path
) -> None:
    backup.back_up(store_url, tmp_path / "first")
    first = backup.restore(other_url, tmp_path / "first")
    backup.back_up(other_url, tmp_path / "second")
    assert backup.restore(other_url, tmp_path / "second", replace=True).epoch > first.epoch


def test_what_is_there_is_given_up_only_when_told_so(world: World, store_url: str, tmp_path: Path) -> None:
    backup.back_up(store_url, tmp_path / "backup")
    world.port(world.list("networks")[0]["id"], name="second")
    world.store.close()
    with pytest.raises(StoreError, match="holds a store already: --replace gives it up"):
        backup.restore(store_url, tmp_path / "backup")
    backup.restore(store_url, tmp_path / "backup", replace=True)
    world.store.open()
    assert [port["name"] for port in world.list("ports")] == ["first"]


def test_nothing_is_restored_under_a_controller(world: World, store_url: str, tmp_path: Path) -> None:
    backup.back_up(store_url, tmp_path / "backup")
    with pytest.raises(StoreError, match="in use by"):
        backup.restore(store_url, tmp_path / "backup", replace=True)


@pytest.mark.parametrize("cut", ["end", "middle", "head", "nothing"])
def test_a_damaged_file_changes_nothing(world: World, store_url: str, tmp_path: Path, cut: str) -> None:
    file = tmp_path / "backup"
    backup.back_up(store_url, file)
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    row = max(n for n, line in enumerate(lines) if line.startswith(b"["))
    kept = {"end": lines[:-1], "middle": lines[:row] + lines[row + 1 :], "head": lines[1:], "nothing": []}[cut]
    file.write_bytes(gzip.compress(b"".join(kept)))
    before = contents(store_url)
    world.store.close()
    with pytest.raises(StoreError, match="is no whole backup"):
        backup.restore(store_url, file, replace=True)
    assert contents(store_url) == before
    file.write_bytes(b"not even packed")
    with pytest.raises(StoreError, match="is no whole backup"):
        backup.restore(store_url, file, replace=True)
    world.store.open()


def test_a_former_versions_backup_is_migrated(other_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_bytes(gzip.compress(b"".join(f"{line}\n".encode() for line in of_version_0_1_0(tmp_path))))
    back = backup.restore(other_url, file)
    world = World(url=other_url)
    assert world.store.position()[1:] == (back.epoch, 34)
    assert len(world.list("ports", by=ADMIN)) == 9
    world.port(world.list("networks", "name=blue", by=ADMIN)[0]["id"], ADMIN)
    world.close()


def of_version_0_1_0(folder: Path) -> Iterator[str]:
    """As that version would have written it."""
    database = sqlite3.connect(folder / "old.db")
    database.executescript((Path(frozen.__file__).parent / "0.1.0" / "store.sql").read_text())
    tables = MetaData()
    tables.reflect(engine := create_engine(f"sqlite:///{folder}/old.db"))
    yield json.dumps({"what": "suimon-backup", "schema": "0001", "store": "s", "epoch": 1, "revision": 34,
                      "taken_at": "2026-11-20T00:00:00Z"})  # fmt: skip
    count = 0
    with engine.connect() as connection:
        for table in tables.sorted_tables:
            if table.name not in ("alembic_version", "tokens", "join_tokens"):
                yield json.dumps({"what": "table", "table": table.name, "columns": [c.name for c in table.columns]})
                for row in connection.execute(select(table)):
                    yield json.dumps(list(row))
                    count += 1
    yield json.dumps({"what": "end", "rows": count})


def test_a_newer_versions_backup_is_left_to_that_version(world: World, store_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    backup.back_up(store_url, file)
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(NEWEST.encode(), b"9999", 1)))
    with pytest.raises(StoreError, match="newer Suimon"):
        backup.restore(store_url, file)


def test_a_backup_does_not_replace_another_nor_leave_half_of_one(
    world: World, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup"
    file.write_text("precious")
    with pytest.raises(FileExistsError):
        backup.back_up(store_url, file)
    assert file.read_text() == "precious"
    monkeypatch.setattr(backup, "_write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backup.back_up(store_url, tmp_path / "other")
    assert not list(tmp_path.glob("other*"))
    assert not list(tmp_path.glob("*.partial"))


def test_there_has_to_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no database"):
        backup.back_up(f"sqlite:///{tmp_path}/nothing.db", tmp_path / "backup")
    assert not (tmp_path / "nothing.db").exists()
    empty = cluster().url()
    with pytest.raises(StoreError, match="none of this version"):
        backup.back_up(empty, tmp_path / "backup")
    cluster().drop(empty)
