"""Tables from elsewhere: engines agree about them whenever they start, and projects have what is theirs."""

from __future__ import annotations

import random
from datetime import timedelta

import msgspec
import pytest

from suimon.enforcement.ages import age_words
from suimon.model.fact_tables import FactSource, FactTable, Reading, Row, Unread
from suimon.policy.engine import PolicyError
from suimon.resources import fact_tables, policies
from suimon.store.tx import Tx
from tests.enforcement.policed import Policed
from tests.resources.world import ADMIN, ALICE, BOB, refused

SWITCHES = ("name", "site")


def made(tx: Tx, name: str = "lab", max_age_s: int = 0) -> FactSource:
    wanted = FactSource(name=name, driver="push", max_age_s=max_age_s, made_at=tx.now, author="root")
    return fact_tables.create_source(tx, ADMIN, wanted)


def push(world: Policed, *rows: Row, columns: tuple[str, ...] = SWITCHES, name: str = "switches") -> None:
    reading = Reading(source="lab", name=name, columns=columns, rows=rows)
    world.write(lambda tx: fact_tables.push_rows(tx, ADMIN, "lab", [reading]))


def table(world: Policed, name: str = "switches") -> FactTable:
    (found,) = [one for one in world.read(fact_tables.list_tables) if one.name == name]
    return found


def test_pushed_rows_are_facts_and_violations_follow_them(policed: Policed) -> None:
    policed.write(made)
    push(policed, ("s1", "A"), ("s2", "B"), ("s1", "A"))
    policed.policy("sites", 'error(x) :- lab:switches(name=x, site="B")')
    assert policed.rows("sites") == [("s2",)] and table(policed).many == 2
    policed.read(policed.engines.listen)
    push(policed, ("s1", "B"), ("s2", "A"))
    assert policed.rows("sites") == [("s1",)]
    assert [(one.row, one.appeared) for one in policed.news()] == [(("s2",), False), (("s1",), True)]


def test_what_was_known_already_only_makes_it_younger(policed: Policed) -> None:
    policed.write(made)
    push(policed, ("s1", 1))
    before, revision = table(policed), policed.store.position()[2]
    policed.clock_ahead(timedelta(minutes=5))
    push(policed, ("s1", 1))
    assert policed.store.position()[2] == revision
    assert table(policed).read_at > before.read_at and table(policed).digest == before.digest  # type: ignore[operator]
    push(policed, ("s1", True))
    assert policed.store.position()[2] == revision + 1


def test_an_engine_that_starts_late_agrees_with_one_that_followed(policed: Policed) -> None:
    policed.write(made)
    push(policed, ("s0", 0))
    clauses = ("p(x, y) :- lab:switches(name=x, site=y)", "q(n, s) :- p(n, s), neutronv2:networks(name=n)")
    policed.policy("all", *clauses, "c(d) :- clock:now(date=d)")
    network = policed.network(name="s1")
    dice = random.Random(64)
    for step in range(12):
        rows = [(f"s{n}", value) for n in range(4) for value in (0, 0.0, False, None, "0") if dice.random() < 0.4]
        push(policed, *rows)
        now = Reading(source="clock", name="now", columns=fact_columns(), rows=[("", f"d{step}", 0, 0, 1, 1, 1)])
        policed.write(lambda tx, now=now: fact_tables.keep_readings(tx, [now]))  # type: ignore[misc]
        policed.update("networks", network, {"name": f"s{dice.randrange(4)}"})
        late = policed.fresh()
        for name in "pqc":
            asked = policed.read(
                lambda tx, name=name, late=late: late.ask(tx, "", lambda scope: scope.engine.rows("all", name))  # type: ignore[misc]
            )
            assert asked == policed.rows("all", name), (step, name)
        assert len(policed.rows("all", "p")) == len(rows) and policed.rows("all", "c") == [(f"d{step}",)]


def fact_columns() -> tuple[str, ...]:
    return ("at", "date", "hour", "minute", "weekday", "month", "day")


def test_a_source_that_goes_takes_its_clauses_out_of_force_and_brings_them_back(policed: Policed) -> None:
    with pytest.raises(PolicyError):
        policed.policy("early", "error(x) :- lab:switches(name=x)")
    policed.write(made)
    push(policed, ("s1", "A"))
    policed.policy("sites", "error(x) :- lab:switches(name=x)", "error(1)")
    policed.read(policed.engines.listen)
    policed.write(lambda tx: fact_tables.delete_source(tx, ADMIN, "lab"))
    assert policed.rows("sites") == [(1,)] and policed.read(lambda _: policed.engines.news()) is None
    told = policed.read(lambda tx: policed.engines.status(tx, ""))["rules_not_in_force"]
    assert isinstance(told, dict) and len(told) == 1
    policed.write(made)
    push(policed, ("s9", 1, 2), columns=("name", "x", "y"))
    assert policed.rows("sites") == [(1,), ("s9",)]
    policed.write(lambda tx: fact_tables.delete_source(tx, ADMIN, "lab"))
    assert policed.rows("sites") == [(1,)]
    policed.write(lambda tx: policies.delete_clause(tx, ADMIN, "sites", next(iter(told))))
    assert policed.read(lambda tx: policed.engines.status(tx, ""))["rules_not_in_force"] == {}
    assert policed.rows("sites") == [(1,)]


def test_a_table_of_another_releases_columns_is_left_until_it_is_read_again(policed: Policed) -> None:
    policed.policy("late", "error(d) :- clock:now(date=d)")
    reading = Reading(source="clock", name="now", columns=fact_columns(), rows=[("", "today", 0, 0, 1, 1, 1)])
    for columns, row in ((("date",), ("older",)), (fact_columns(), reading.rows[0])):
        kept = msgspec.structs.replace(reading, columns=columns, rows=[row])
        policed.write(lambda tx, kept=kept: fact_tables.keep_readings(tx, [kept]))  # type: ignore[misc]
        assert policed.rows("late") == ([("today",)] if len(row) > 1 else [])


def test_projects_have_their_own_rows_and_no_other_table(policed: Policed) -> None:
    policed.write(made)
    owned = ("project_id", "server")
    push(policed, ("red", "a"), ("blue", "b"), columns=owned, name="assets")
    push(policed, ("s1", "A"))
    policed.policy("mine", "p(x) :- lab:assets(server=x)", "t(d) :- clock:now(date=d)", by=ALICE)
    assert policed.rows("mine", "p", "red") == [("a",)]
    for text in ("p(x) :- lab:switches(name=x)", "p(x) :- nova:servers(id=x)"):
        with refused("PolicyError"):
            policed.insert("mine", text, ALICE)
    push(policed, ("red", "c"), ("blue", "b"), columns=owned, name="assets")
    assert policed.rows("mine", "p", "red") == [("c",)]
    late = policed.fresh()
    asked = policed.read(lambda tx: late.ask(tx, "red", lambda scope: scope.engine.rows("mine", "p")))
    assert asked == [("c",)]
    for act in (lambda tx: made(tx, "x"), lambda tx: fact_tables.delete_source(tx, ADMIN, "lab")):
        policed.write(act)
    for by in (ALICE, BOB):
        with refused("PolicyNotAuthorized"):
            policed.write(lambda tx, by=by: fact_tables.push_rows(tx, by, "x", []), by)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("columns", "rows", "words"),
    [
        ((), [], "columns"),
        (("a", "a"), [], "each once"),
        (("a b",), [], "column's name"),
        (("a",), [("x",), ("x", "y")], "Row 2"),
        (("a",), [(2**63,)], "63 bits"),
        (("a",), [(float("inf"),)], "finite"),
        (("a",), [("x" * 10_001,)], "characters"),
        (("a",), [(["x"],)], "a text, a number"),
        (tuple(f"c{n}" for n in range(65)), [], "64 columns"),
    ],
)
def test_what_cannot_be_a_table_leaves_it_as_it_was(
    policed: Policed, columns: object, rows: object, words: str
) -> None:
    policed.write(made)
    push(policed, ("s1", "A"))
    before = policed.store.position(), table(policed)
    good = Reading(source="lab", name="switches", columns=SWITCHES, rows=[("s2", "A")])
    bad = Reading(source="lab", name="more", columns=columns, rows=rows)  # type: ignore[arg-type]
    with refused("HTTPBadRequest", words):
        policed.write(lambda tx: fact_tables.push_rows(tx, ADMIN, "lab", [good, bad]))
    assert (policed.store.position(), table(policed)) == before


def test_other_columns_and_names_that_are_taken_are_refused(policed: Policed) -> None:
    policed.write(made)
    push(policed, ("s1", "A"))
    with refused("HTTPConflict", "delete the data source first"):
        push(policed, ("s1",), columns=("name",))
    policed.policy("net", by=ALICE)
    for name, kind, words in (
        ("lab", "HTTPConflict", "Data source lab already exists"),
        ("net", "HTTPConflict", "a policy called net"),
        ("nova", "HTTPBadRequest", "none of ours"),
        ("a:b", "HTTPBadRequest", "letters, digits"),
    ):
        with refused(kind, words):
            policed.write(lambda tx, name=name: made(tx, name))  # type: ignore[misc]
    with refused("HTTPNotFound", "Data source none could not be found"):
        policed.write(lambda tx: fact_tables.push_rows(tx, ADMIN, "none", []))
    with refused("HTTPConflict"):
        policed.write(lambda tx: policies.create_policy(tx, ALICE, policies.Wanted(name="lab")), ALICE)


def test_sources_tables_and_rows_are_bounded(policed: Policed, monkeypatch: pytest.MonkeyPatch) -> None:
    policed.write(made)
    push(policed, ("s1", "A"))
    for bound, words, act in (
        ("MOST_SOURCES", "At most 1 data sources", lambda: policed.write(lambda tx: made(tx, "other"))),
        ("MOST_TABLES", "At most 1 tables", lambda: push(policed, ("s1", "A"), name="more")),
        ("MOST_ROWS", "more than 1 rows", lambda: push(policed, ("s1", "A"), ("s2", "A"))),
        ("MOST_BYTES", "or 1 bytes", lambda: push(policed, ("s1", "A"))),
    ):
        with monkeypatch.context() as bounded:
            bounded.setattr(fact_tables, bound, 1)
            with refused("HTTPConflict" if words.startswith("At most") else "HTTPBadRequest", words):
                act()
    with refused("HTTPBadRequest", "table's name"):
        push(policed, ("s1", "A"), name="a b")
    assert table(policed).many == 1


def test_who_asks_is_told_of_facts_that_are_too_old(policed: Policed) -> None:
    policed.write(lambda tx: made(tx, max_age_s=60))
    push(policed, ("s1", "A"))
    policed.policy("sites", "error(x) :- lab:switches(name=x)")
    policed.policy("others", "error(x) :- neutronv2:networks(id=x)")

    def told(tx: Tx) -> dict[str, str]:
        stale = policed.engines.stale(tx, [("", "sites"), ("", "others"), ("", "none")])
        return {policy: age_words(*tables, tx.now) for (_, policy), tables in stale.items()}

    assert policed.read(told) == {}
    policed.clock_ahead(timedelta(minutes=2))
    (words,) = policed.read(told).values()
    assert words.startswith("lab:switches was read 12") and words.endswith("s ago, and should be no older than 60 s")
    policed.write(lambda tx: fact_tables.note_unread(tx, [Unread(source="lab", name="switches", problem="line 1")]))
    assert policed.read(told)["sites"].endswith("s ago, and could not be since")
    never = FactTable(id="lab/cables", source="lab", name="cables")
    assert policed.read(lambda tx: age_words(never, tx.now)) == "lab:cables was never read"


def test_a_table_that_cannot_be_read_keeps_its_rows_and_grows_old(policed: Policed) -> None:
    policed.write(lambda tx: made(tx, max_age_s=60))
    push(policed, ("s1", "A"))
    policed.policy("sites", "error(x) :- lab:switches(name=x)")
    good = table(policed)
    assert good.read_at and not good.stale(good.read_at) and good.stale(good.read_at + timedelta(seconds=61))
    policed.write(lambda tx: fact_tables.note_unread(tx, [Unread(source="lab", name="switches", problem="line 1")]))
    one = table(policed)
    assert one.read_at == good.read_at and one.stale(one.read_at)
    assert policed.rows("sites") == [("s1",)]
    push(policed, ("s1", "A"))
    assert table(policed).problem == ""
