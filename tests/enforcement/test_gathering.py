"""Tables that are read elsewhere: when, by whom, and what becomes of a reading that fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from suimon.enforcement.clock import Clock
from suimon.enforcement.file_rows import MOST_YAML_BYTES, table_of
from suimon.enforcement.files import Files, FilesConfig
from suimon.enforcement.gathering import Batch, Gatherer, GathererConfig, Source
from suimon.model.errors import BadRequest
from suimon.model.fact_tables import FactTable
from suimon.resources import fact_tables, policies
from tests.enforcement.policed import Policed
from tests.enforcement.test_fact_tables import made, push
from tests.patience import patient
from tests.resources.world import ADMIN, refused

NOON = 1_795_262_400.0
"""2026-11-21T12:00:00Z, a Saturday."""


class Watch:
    """A clock that is set."""

    def __init__(self, now_s: float = NOON) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class Told:
    """A source that calls what it is told to, once for each reading."""

    named = ("clock:now",)

    def __init__(self, readings: Callable[[], Sequence[Batch]], pause_s: float = 3600.0) -> None:
        self._readings = readings
        self._pause_s = pause_s
        self.times = 0
        self.was_read = asyncio.Event()

    async def read(self) -> Sequence[Batch]:
        self.times += 1
        self.was_read.set()
        return self._readings()

    def pause_s(self) -> float:
        return self._pause_s


def gather(world: Policed, source: Source) -> bool:
    gatherer = Gatherer(GathererConfig(), world.store, [source])
    return world.loop.run_until_complete(gatherer.round(source))


def tables(world: Policed) -> dict[str, FactTable]:
    return {one.id: one for one in world.read(fact_tables.list_tables)}


def test_the_clock_ticks_while_a_clause_reads_it(policed: Policed) -> None:
    watch = Watch(NOON + 61.5)
    clock = Clock(watch)
    assert not gather(policed, clock) and tables(policed) == {}
    policed.policy("late", 'error(h) :- clock:now(hour=h, weekday=6, date="2026-11-21"), gteq(h, 12)')
    assert gather(policed, clock) and policed.rows("late") == [(12,)]
    assert clock.pause_s() == 58.5
    at = policed.read(lambda tx: policed.engines.ask(tx, "", lambda scope: scope.engine.rows("clock", "now")))
    assert at == [("2026-11-21T12:01:00Z", "2026-11-21", 12, 1, 6, 11, 21)]
    watch.now_s += 12 * 3600
    assert gather(policed, clock) and policed.rows("late") == []


def test_a_clause_that_comes_wakes_who_reads(policed: Policed) -> None:
    source = Told(lambda: [])

    async def scene() -> None:
        running = asyncio.ensure_future(Gatherer(GathererConfig(gather_s=0.0), policed.store, [source]).run())
        await policed.store.read(lambda tx: tx.now)
        assert source.times == 0
        wanted = policies.Wanted(name="late", clauses=(policies.WantedClause(text="error(h) :- clock:now(hour=h)"),))
        await policed.store.write(lambda tx: policies.create_policy(tx, ADMIN, wanted), ADMIN)
        await asyncio.wait_for(source.was_read.wait(), 30)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    policed.loop.run_until_complete(scene())
    assert source.times == 1


def test_what_is_wanted_is_read_again_and_again(policed: Policed) -> None:
    policed.policy("late", "error(h) :- clock:now(hour=h)")
    thrice = asyncio.Event()

    def readings() -> Sequence[Batch]:
        if source.times == 3:
            thrice.set()
        return []

    source = Told(readings, pause_s=0.0)

    async def scene() -> None:
        running = asyncio.ensure_future(Gatherer(GathererConfig(), policed.store, [source]).run())
        await asyncio.wait_for(thrice.wait(), patient(30))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    policed.loop.run_until_complete(scene())


def write(path: Path, text: str, at_s: float = NOON - 10) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, (at_s, at_s))


def test_files_are_read_when_they_change_and_bad_ones_keep_what_was_good(policed: Policed, tmp_path: Path) -> None:
    watch, file = Watch(), tmp_path / "lab" / "switches.csv"
    files = Files(FilesConfig(str(tmp_path)), watch)
    write(file, "name,vlan:int,up:bool\ns1,7,true\ns2,,false\n")
    gather(policed, files)
    policed.policy("vlans", "error(x) :- lab:switches(name=x, vlan=7)", "nulls(x) :- lab:switches(name=x, vlan=null)")
    assert policed.rows("vlans") == [("s1",)] and policed.rows("vlans", "nulls") == [("s2",)]
    revision = policed.store.position()[2]
    for text, words in (
        ("name,vlan:int,up:bool\ns3,x,true\n", "line 2, column 2"),
        ("name,vlan:int,up:bool\ns3,7\n", "line 2: 2 values for 3"),
        ("name,vlan:int\ns3,7\n", "delete the data source"),
    ):
        watch.now_s += 2
        write(file, text, watch.now_s - 1.5)
        gather(policed, files)
        one = tables(policed)["lab/switches"]
        assert words in one.problem and policed.rows("vlans") == [("s1",)] and policed.store.position()[2] == revision
    watch.now_s += 2
    write(file, "name,vlan:int,up:bool\ns3,7,true\n", watch.now_s - 0.5)
    gather(policed, files)
    assert policed.rows("vlans") == [("s1",)], "it may be half written"
    watch.now_s += 1
    gather(policed, files)
    assert policed.rows("vlans") == [("s3",)] and tables(policed)["lab/switches"].problem == ""
    file.unlink()
    gather(policed, files)
    assert "no such file" in tables(policed)["lab/switches"].problem and policed.rows("vlans") == [("s3",)]


def test_files_are_apart_and_of_their_own_source(policed: Policed, tmp_path: Path) -> None:
    policed.write(made)
    push(policed, ("s1", "A"))
    write(tmp_path / "lab" / "switches.csv", "name,site\ns2,B\n")
    write(tmp_path / "rooms" / "racks.yaml", "- {name: r1, units: 42}\n- {units: 7, name: r2}\n")
    write(tmp_path / "rooms" / "bad.yaml", "- {name: r1}\n- {name: r1, units: 1}\n")
    write(tmp_path / "nova" / "servers.csv", "id\nx\n")
    write(tmp_path / "rooms" / "notes.txt", "x")
    gather(policed, Files(FilesConfig(str(tmp_path)), Watch()))
    found = tables(policed)
    assert found["rooms/racks"].columns == ("name", "units") and found["rooms/racks"].many == 2
    assert "line 2, column 3" in found["rooms/bad"].problem and found["rooms/bad"].columns == ()
    assert "driver push" in found["lab/switches"].problem and found["lab/switches"].many == 1
    assert found["nova/servers"].many == 0 and "name" in found["nova/servers"].problem
    policed.policy("racks", "error(x) :- rooms:racks(name=x, units=7)")
    assert policed.rows("racks") == [("r2",)]
    with refused("HTTPBadRequest", "read by Suimon"):
        policed.write(lambda tx: fact_tables.push_rows(tx, ADMIN, "rooms", []))


def test_a_file_is_read_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, file = Watch(), tmp_path / "lab" / "switches.csv"
    files = Files(FilesConfig(str(tmp_path)), watch)
    read_bytes = Path.read_bytes

    def grows(path: Path) -> bytes:
        found = read_bytes(path)
        write(path, "name\ns1\ns2\n")
        return found

    write(file, "name\ns1\n")
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Path, "read_bytes", grows)
        assert looked(files) == []
    assert [one.rows for one in looked(files)] == [[("s1",), ("s2",)]]
    assert looked(files) == []
    watch.now_s += 60.0
    assert len(looked(files)) == 1
    monkeypatch.setattr("suimon.enforcement.files.MOST_BYTES", 10)
    write(file, "name\ns1\ns2\n", NOON - 9)
    assert ["more than 10 bytes" in one.problem for one in looked(files)] == [True]
    write(tmp_path / "lab" / "switches.yaml", "- {name: s1}\n")
    assert "switches.yaml is not read" in looked(files)[-1].problem


def looked(files: Files) -> list[Any]:
    return [one for batch in asyncio.run(files.read()) for one in batch]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "no columns"),
        ("a.csv", b"a,b:date\n", "'date'"),
        ("a.csv", b'a\n"open\n', "line 2"),
        ("a.csv", b"a\n\xff\n", "line 2: this is not UTF-8"),
        ("a.csv", b"a\nx\0\n", "line 2: a NUL"),
        ("a.csv", b"a:float\ninf\n", "line 2, column 1"),
        ("a.yaml", b"a: 1\n", "list of rows"),
        ("a.yaml", b"- 1\n", "line 1, column 3: a row is a mapping"),
        ("a.yaml", b"- {a: [1]}\n", "line 1"),
        ("a.yaml", b"- {a: 2026-11-21}\n", "a value is"),
        ("a.yaml", b"- &x {a: 1}\n- *x\n", "line 2, column 3: aliases"),
        ("a.yaml", b"- {a: !!python/object/apply:os.system [x]}\n", "line 1"),
        ("a.yaml", b"- {a: 1, a: 2}\n", "twice"),
        ("a.yaml", b"[" * 200_000, "line 1, column 12: too deep"),
        ("a.yaml", b"- {a: 1}\n" * (MOST_YAML_BYTES // 9 + 1), "write CSV"),
    ],
)
def test_files_that_are_no_tables_are_refused_with_their_place(name: str, content: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        table_of(name, content)
    assert words in caught.value.message, caught.value.message
