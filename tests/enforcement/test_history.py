"""What facts were is kept: change by change, compared where nobody looked, and no longer than is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from suimon.enforcement import history
from suimon.enforcement.history import AWAY, BEGUN, OTHERWISE, TOO_LATE, FactHistory, FactHistoryConfig
from suimon.enforcement.scope import sources_of
from suimon.model.fact_history import FactVersion, Moment
from suimon.model.fact_tables import Reading
from suimon.model.policies import CLOUD
from suimon.policy.changes import Row
from suimon.policy.facts import Fact
from suimon.resources import fact_tables
from suimon.resources.fact_history import moments
from suimon.resources.persona import hidden_from_projects
from suimon.store import Tx
from suimon.store.changes import shorten
from tests.databases import but_the_lock
from tests.enforcement.policed import Policed
from tests.enforcement.test_fact_tables import fact_columns, made, push
from tests.resources.world import ADMIN, BOB


class Kept(Policed):
    """With a component that writes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.restart()

    def restart(self, **config: object) -> None:
        self.component = FactHistory(FactHistoryConfig(part=2, **config), self.store)  # type: ignore[arg-type]

    def note(self) -> int:
        """At which revision the store is then."""
        self.loop.run_until_complete(self.component.round())
        return self.store.position()[2]

    def names(self, revision: int) -> list[str]:
        """Of the networks there were."""
        past = self.engines.past([("neutronv2", "networks")], CLOUD)
        return sorted(str(row[2]) for row in self.read(lambda tx: past.rows(tx, revision, 99)))

    def facts(self, table: str) -> list[Row]:
        """As the engine has them now."""
        return self.read(lambda tx: self.engines.ask(tx, CLOUD, lambda scope: scope.engine.rows("neutronv2", table)))

    def moments(self) -> list[Moment]:
        return self.read(lambda tx: moments(tx, 0, 2**62))


@pytest.fixture
def kept() -> Iterator[Kept]:
    made = Kept()
    yield made
    made.close()


def test_what_is_new_is_written_at_once_and_closes_nothing(kept: Kept) -> None:
    kept.component = FactHistory(FactHistoryConfig(), kept.store)
    kept.note()
    heard: list[str] = []
    kept.network(name="a")
    kept.network(BOB, name="b")
    kept.store.trace(heard.append)
    kept.note()
    assert heard.count("COMMIT") == 1
    assert not [statement for statement in heard if statement.startswith("UPDATE fact_versions")]
    kept.update("networks", kept.network(name="c"), {"name": "d"})
    kept.note()
    assert kept.names(kept.store.position()[2]) == ["a", "b", "d"]


def test_any_moment_is_known_change_by_change(kept: Kept) -> None:
    first = kept.network(name="a")
    began = kept.note()
    second = kept.network(BOB, name="b")
    two = kept.note()
    kept.update("networks", first, {"name": "c"})
    kept.delete("networks", second, BOB)
    last = kept.note()
    assert [kept.names(revision) for revision in (began, two, last)] == [["a"], ["a", "b"], ["c"]]
    assert kept.names(began - 1) == []
    told = {one.revision: one for one in kept.moments()}
    assert told[began].gap == BEGUN and {one.gap for one in told.values()} == {BEGUN, ""}
    assert (told[two].request_id, told[last].request_id) == (BOB.request_id, BOB.request_id)
    assert kept.note() == last and len(kept.moments()) == len(told)


def test_what_was_is_what_the_engine_had(kept: Kept) -> None:
    kept.policy("all", "p(x) :- neutronv2:ports(id=x)")
    network = kept.network()
    kept.subnet(network)
    kept.note()
    first, *_ = [kept.port(network)["id"] for _ in range(5)]
    revision = kept.note()
    tables = ("ports", "fixed_ips", "security_group_port_bindings", "networks", "subnets")
    had = {table: set(kept.facts(table)) for table in tables}
    kept.port(network, name="later")
    kept.delete("ports", first)
    kept.note()
    for table, rows in had.items():
        past = kept.engines.past([("neutronv2", table)], CLOUD)
        assert past.known
        assert set(kept.read(lambda tx, past=past: past.rows(tx, revision, 99))) == rows, table  # type: ignore[misc]
    assert set(kept.facts("ports")) != had["ports"]


def test_a_project_has_its_own_past_without_what_it_may_not_see(kept: Kept) -> None:
    kept.network(name="mine")
    kept.network(BOB, name="his")
    revision = kept.note()

    def rows(project: str) -> list[Row]:
        return kept.read(lambda tx: kept.engines.past([("neutronv2", "networks")], project).rows(tx, revision, 99))

    assert [row[2] for row in rows("red")] == ["mine"] and len(rows(CLOUD)) == 2
    columns = sources_of("red", hidden_from_projects())["neutronv2"]["networks"]
    assert len(rows("red")[0]) == len(columns) < len(rows(CLOUD)[0])
    users = kept.read(lambda tx: kept.engines.past([("keystone", "projects")], "red").rows(tx, revision, 99))
    assert users == []


def test_who_goes_on_says_what_nobody_saw(kept: Kept) -> None:
    kept.note()
    kept.restart()
    kept.note()
    assert [one.gap for one in kept.moments()] == [BEGUN]
    network = kept.network(name="a")
    kept.update("networks", network, {"name": "b"})
    kept.restart()
    revision = kept.note()
    assert kept.names(revision) == ["b"]
    assert [(one.revision, one.gap) for one in kept.moments()][-1] == (revision, AWAY)


def test_a_log_that_does_not_reach_back_is_a_gap(kept: Kept) -> None:
    gone = kept.network(name="gone")
    stays = kept.network(name="stays")
    kept.note()
    kept.delete("networks", gone)
    came = kept.network(name="came")
    kept.write(lambda tx: shorten(tx._connection, 1, kept.store.position()[2]))
    revision = kept.note()
    assert kept.names(revision) == ["came", "stays"] and stays != came
    assert [one.gap for one in kept.moments()][-1] == TOO_LATE


def test_another_releases_columns_are_no_changes(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.network(name="a")
    with monkeypatch.context() as before:
        before.setattr(history, "SHAPE", "another")
        before.setattr(history, "rows_of", lambda _thing, **_: (Fact("neutronv2", "networks", ("narrow",)),))
        revision = kept.note()
    assert kept.names(revision) == []
    kept.restart()
    assert kept.note() == revision
    assert kept.names(revision) == ["a"]
    assert [one.gap for one in kept.moments()] == [OTHERWISE]


def test_a_writer_that_died_between_two_parts_is_gone_on_from(kept: Kept) -> None:
    kept.note()
    kept.create_many("networks", [{"name": str(number)} for number in range(5)])
    wrote = []

    def dies(tx: Tx) -> None:
        wrote.append(tx)
        if len(wrote) == 2:
            raise RuntimeError

    kept.store.guard(dies)
    with pytest.raises(RuntimeError):
        kept.note()
    kept.store.guard(None)
    kept.restart()
    assert kept.names(kept.note()) == list("01234")
    assert kept.moments()[-1].gap == AWAY


def test_it_costs_its_own_transactions_only(kept: Kept) -> None:
    """And in those a few statements for a batch, not for each change."""
    kept.note()
    heard: list[str] = []
    kept.store.trace(heard.append)
    kept.create_many("networks", [{"name": str(number)} for number in range(50)])
    assert not any("fact_" in statement for statement in heard)
    kept.component = FactHistory(FactHistoryConfig(), kept.store)
    heard.clear()
    kept.note()
    kept.store.trace(None)
    assert len([each for each in but_the_lock(heard) if "fact_" in each]) <= 8


@pytest.mark.parametrize(("config", "reaches"), [({"keep_days": 1.0}, 1), ({"most_versions": 1}, 2)])
def test_what_is_too_old_or_too_much_is_forgotten(kept: Kept, config: dict[str, object], reaches: int) -> None:
    network = kept.network(name="0")
    revisions = [kept.note()]
    for number in range(1, 4):
        kept.clock_ahead(timedelta(hours=20))
        kept.update("networks", network, {"name": str(number)})
        revisions.append(kept.note())
    kept.component = FactHistory(FactHistoryConfig(**config), kept.store)  # type: ignore[arg-type]
    kept.loop.run_until_complete(kept.component.forget())
    assert [kept.names(revision) for revision in revisions[reaches:]] == [["1"], ["2"], ["3"]][reaches - 1 :]
    assert kept.names(revisions[0]) == []
    assert [one.revision for one in kept.moments()] == revisions[reaches:]


def lab(kept: Kept, *rows: Row, columns: tuple[str, ...] = ("name", "project_id"), name: str = "switches") -> None:
    push(kept, *rows, columns=columns, name=name)


def held(kept: Kept, revision: int, project: str = CLOUD, name: str = "switches") -> list[Row]:
    sources = kept.read(lambda tx: kept.engines.sources(tx, project))
    past = kept.engines.past([("lab", name)], project, sources)
    return kept.read(lambda tx: past.rows(tx, revision, 99))


def gaps(kept: Kept, *revisions: int) -> list[tuple[int, int | None]]:
    sources = kept.read(lambda tx: kept.engines.sources(tx, CLOUD))
    past = kept.engines.past([("lab", "switches")], CLOUD, sources)
    found = kept.read(lambda tx: past.gaps(tx, (min(revisions), max(revisions))))
    return [(one.revision, one.until_revision) for _, one in found]


def test_tables_from_elsewhere_have_a_past_row_by_row(kept: Kept) -> None:
    kept.write(made)
    before = kept.note()
    lab(kept, ("s1", "red"), ("s2", "blue"), (1, "red"), (1.0, "red"))
    first = kept.note()
    lab(kept, ("s2", "blue"), ("s3", None))
    second = kept.note()
    kept.write(lambda tx: fact_tables.delete_source(tx, ADMIN, "lab"))
    gone = kept.note()
    kept.write(made)
    lab(kept, ("s2", "blue"))
    again = kept.note()
    assert held(kept, before) == held(kept, gone) == []
    assert [row[0] for row in held(kept, first)] == ["s1", "s2", 1, 1.0]
    assert held(kept, second) == [("s2", "blue"), ("s3", None)] and held(kept, again) == [("s2", "blue")]
    assert held(kept, first, "blue") == held(kept, second, "blue") == [("s2", "blue")]
    assert len(held(kept, first, "red")) == 3 and held(kept, second, "red") == []
    versions = kept.read(lambda tx: tx.select(FactVersion))
    assert len([one for one in versions if "s2" in one.facts]) == 2, "what stayed is one version"
    assert [one.request_id for one in kept.moments() if one.revision == second] == [ADMIN.request_id]


def test_a_table_with_other_columns_is_another(kept: Kept) -> None:
    kept.write(made)
    lab(kept, ("s1", "A"))
    first = kept.note()
    kept.write(lambda tx: fact_tables.delete_source(tx, ADMIN, "lab"))
    kept.write(made)
    lab(kept, ("A", "s1"), columns=("site", "name"))
    second = kept.note()
    assert held(kept, first) == [] and held(kept, second) == [("A", "s1")]
    sources = kept.read(lambda tx: kept.engines.sources(tx, CLOUD))
    past = kept.engines.past([("lab", "switches")], CLOUD, sources)
    assert kept.read(lambda tx: past.unknown(tx, first)) == {("lab", "switches")}
    assert kept.read(lambda tx: past.unknown(tx, second)) == set()


def test_who_goes_on_knows_tables_as_they_are_by_then(kept: Kept) -> None:
    kept.write(made)
    lab(kept, ("s1", "A"))
    kept.note()
    lab(kept, ("s2", "A"))
    lab(kept, ("x", "A"), name="cables")
    kept.restart()
    revision = kept.note()
    assert held(kept, revision) == [("s2", "A")] and held(kept, revision, name="cables") == [("x", "A")]
    kept.write(lambda tx: fact_tables.delete_source(tx, ADMIN, "lab"))
    kept.network()
    kept.write(lambda tx: shorten(tx._connection, 1, kept.store.position()[2]))
    kept.restart()
    kept.note()
    there = kept.read(lambda tx: tx.select(FactVersion, {"until_revision": None}))
    assert not [one for one in there if "s2" in one.facts]


def test_a_table_that_changes_too_much_has_a_gap_and_is_known_again(kept: Kept) -> None:
    kept.restart(most_table_rows=10)
    kept.write(made)
    lab(kept, *((n, "A") for n in range(50)))
    first = kept.note()
    assert len(held(kept, first)) == 50, "the first time is never too much"
    lab(kept, *((n, "B") for n in range(4)))
    left = kept.note()
    lab(kept, *((n, "C") for n in range(4)))
    more = kept.note()
    assert kept.note() == more and len(held(kept, more)) == 50
    assert gaps(kept, first) == [] and gaps(kept, left, more) == [(left, None)]
    kept.network()
    kept.restart(most_table_rows=100)
    known = kept.note()
    assert held(kept, known) == [(n, "C") for n in range(4)] and gaps(kept, left, known) == [(left, known)]
    assert gaps(kept, known, known) == []


def test_what_was_too_much_is_not_too_much_later(kept: Kept) -> None:
    kept.restart(most_table_rows=4)
    kept.write(made)
    lab(kept, ("a", "A"))
    kept.note()
    lab(kept, ("b", "A"), ("c", "A"))
    assert held(kept, kept.note()) == [("b", "A"), ("c", "A")]
    lab(kept, ("a", "A"))
    skipped = kept.note()
    assert gaps(kept, skipped) == [(skipped, None)]
    kept.clock_ahead(timedelta(hours=11))
    assert kept.note() == skipped and held(kept, skipped) == [("b", "A"), ("c", "A")]
    kept.clock_ahead(timedelta(hours=13))
    assert kept.note() == skipped and held(kept, skipped) == [("a", "A")]
    assert gaps(kept, skipped) == [], "nothing else changed meanwhile, so that all is known"


def test_large_rows_count_more_and_what_follows_by_itself_is_not_kept(kept: Kept) -> None:
    kept.restart(most_table_rows=4)
    kept.write(made)
    lab(kept, ("a", "A"))
    kept.note()
    lab(kept, ("x" * 4000, "A"))
    assert gaps(kept, kept.note())
    many = len(kept.read(lambda tx: tx.select(FactVersion)))
    now = Reading(source="clock", name="now", columns=fact_columns(), rows=[("", "d", 0, 0, 1, 1, 1)])
    kept.write(lambda tx: fact_tables.keep_readings(tx, [now]))
    kept.note()
    assert len(kept.read(lambda tx: tx.select(FactVersion))) == many
