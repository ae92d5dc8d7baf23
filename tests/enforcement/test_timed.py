"""A replay knows what time it was, what collectors saw, and what pushed tables held; what it can't know it says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from suimon.enforcement import timed
from suimon.enforcement.flows import WINDOW_S, Talks
from suimon.enforcement.replay import OF_CLOUD, Replayed, asked_tables, outside, recorded, replay
from suimon.model.collectors import MappedPort
from suimon.model.policies import CLOUD
from suimon.model.records import FROM_GUEST, Batch, joined
from suimon.policy.facts import OUTSIDE
from tests.enforcement.recorders import Recorder
from tests.enforcement.test_fact_tables import made, push
from tests.enforcement.test_replay import Replayable
from tests.telemetry.test_talk import record

MAIL = 'error(p) :- suimon:flows(port_id=p, direction="out", protocol="tcp", destination_port=25)'
PORTS = tuple(
    MappedPort(f"p{n}", ("red", "blue")[n], "net", "h1", "192.0.2.1", 1, "02:00:00:00:00:01", ()) for n in (0, 1)
)


class Timed(Replayable):
    """Whose replays ask a collector, if they are let; `hour` is the next that begins."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.hour = (int(self.read(lambda tx: tx.now).timestamp()) // 3600 + 1) * 3600
        self.recorder = Recorder(self, directory, lambda: float(self.hour))
        self.note()

    def seen(self, after_s: float, port: int = 0) -> Batch:
        """Mail that ends so long after the hour began."""
        at_s = self.hour + after_s
        return record(FROM_GUEST, 40_000, 25, port=port, begun=at_s, ended=at_s)

    def over(
        self, *clauses: str, project: str = CLOUD, span: tuple[int, int] = (WINDOW_S, 1500), **limits: float
    ) -> Replayed:
        """The clauses over so many seconds after the hour, and what the collector tells of them."""
        self.note()
        draft, sources = (
            self.drafted(*clauses, project=project),
            self.read(lambda tx: self.engines.sources(tx, project)),
        )
        tables = asked_tables(draft, sources)
        since, until = (datetime.fromtimestamp(self.hour + each, UTC) for each in span)
        past = self.engines.past(tables, project, sources)
        told = self.read(lambda tx: recorded(tx, past, (since, until), outside(tx, tables, project), OF_CLOUD))
        known = timed.flows(
            Talks(self.store),
            tables,
            (since, until),
            project,
            timed.TimedLimits(**limits),  # type: ignore[arg-type]
        )
        told = told.timed_by(timed.ticks((since, until))) if ("clock", "now") in tables else told
        asking = self.recorder.answering(lambda: known)
        told = told.timed_by(*self.loop.run_until_complete(asking))
        return list(replay(draft, sources, told, OF_CLOUD, time.monotonic))[-1]


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Timed]:
    made = Timed(tmp_path)
    yield made
    made.recorder.segments.close()
    made.close()


def happened(found: Replayed, of: Timed) -> list[tuple[float, str, str]]:
    return [(one.at.timestamp() - of.hour, one.what, one.row) for one in found.found]


def test_flows_of_the_past_appear_and_vanish_with_their_windows(past: Timed) -> None:
    past.recorder.write(joined([past.seen(100), past.seen(700), past.seen(800, port=1)]), *PORTS)
    found = past.over(MAIL)
    assert happened(found, past) == [
        (600, "vanished", 'error("p0")'),
        (900, "appeared", 'error("p0")'),
        (900, "appeared", 'error("p1")'),
        (1200, "vanished", 'error("p0")'),
        (1200, "vanished", 'error("p1")'),
    ]
    assert (found.wrong_before, found.denied, found.changes) == (1, 0, 0)
    assert found.as_now == [] and found.missing == []
    theirs = past.over(MAIL, project="blue")
    assert [row for _, _, row in happened(theirs, past)] == ['error("p1")'] * 2


def test_what_collectors_do_not_know_is_said(past: Timed) -> None:
    nothing = past.over(MAIL)
    assert "keeps nothing so old" in nothing.missing[0] and nothing.missing[1] == "suimon:flows: nobody read it"
    past.recorder.write(past.seen(100), *PORTS)
    early = past.over(MAIL, span=(-1200, 900))
    assert happened(early, past) == [(300, "appeared", 'error("p0")'), (600, "vanished", 'error("p0")')]
    until = datetime.fromtimestamp(past.hour + WINDOW_S, UTC)
    assert early.missing == [f"suimon:flows until {until:%Y-%m-%dT%H:%M:%SZ}: a collector keeps nothing so old"]
    slow = past.over(MAIL, most_s=0.0)
    assert "takes longer" in slow.missing[0] and slow.found == []
    many = [past.seen(100 + place) for place in range(3)]
    past.recorder.write(joined(many), *PORTS)
    cut = past.over(MAIL, span=(WINDOW_S, 2 * 3600), most_rows=0)
    assert len(cut.missing) == 1 and "there are more than 0 rows" in cut.missing[0]
    Recorder(past, Path(past.recorder.segments._config.directory) / "other", lambda: float(past.hour), "c2")
    assert "c2" in past.over(MAIL).missing[0]


def test_the_clock_ticks_through_a_replay(past: Timed) -> None:
    found = past.over("error(m) :- clock:now(minute=m), lt(m, 8)", span=(330, 540))
    assert found.wrong_before == 1
    assert happened(found, past) == [
        (360, "appeared", "error(6)"),
        (360, "vanished", "error(5)"),
        (420, "appeared", "error(7)"),
        (420, "vanished", "error(6)"),
        (480, "vanished", "error(7)"),
    ]
    assert found.as_now == []


def test_pushed_rows_flows_and_changes_are_in_one_order(past: Timed) -> None:
    past.write(made)
    push(past, ("p0", "A"))
    past.note()
    past.recorder.write(joined([past.seen(100 + 300 * n) for n in range(8)]), *PORTS)
    ahead = datetime.fromtimestamp(past.hour + 1000, UTC) - past.read(lambda tx: tx.now)
    past.clock_ahead(ahead)
    push(past, ("p1", "A"))
    changed = past.note()
    found = past.over(
        'error(p) :- suimon:flows(port_id=p, destination_port=25), lab:switches(name=p, site="A")', span=(400, 1800)
    )
    assert [(one.what, one.row, one.revision) for one in found.found] == [("vanished", 'error("p0")', changed)]
    assert (found.wrong_before, found.changes, found.as_now) == (1, 1, [])


def test_a_table_that_changed_too_much_is_said_to_have(past: Timed) -> None:
    past.write(made)
    past.restart(most_table_rows=1)
    push(past, ("s0", "A"))
    past.note()
    for number in (1, 2):
        push(past, (f"s{number}", "A"))
        left = past.note()
    past.since = past.now()
    network = past.network()
    found = past.replay(past.drafted("error(x) :- lab:switches(name=x)", "error(x) :- neutronv2:networks(id=x)"))
    assert [one.row for one in found.found] == [f'error("{network}")'] and found.wrong_before == 2
    assert len(found.missing) == 1 and f"lab:switches from revision {left - 1} until now" in found.missing[0]


def test_columns_of_flows_are_as_collectors_tell_them(past: Timed) -> None:
    past.recorder.write(past.seen(100), *PORTS)
    talking = Talks(past.store).windows(past.hour)
    (window,) = past.loop.run_until_complete(past.recorder.answering(lambda: talking)).windows
    for name, rows in window.items():
        (row,) = [dict(zip(OUTSIDE["suimon"][name], row, strict=True)) for row in rows]
        assert (row["port_id"], row["project_id"], row["destination_port"], row["bytes"]) == ("p0", "red", 25, 100)
    assert (row["address"], row["outside"], row["answered"]) == ("198.51.100.1", True, False)
