"""What was metered comes back from a backup as it was: a closed month is billed as before, on either database."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from suimon.telemetry.meter import copy
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config, History
from suimon.telemetry.meter.usage import percentiles, steps, totals
from tests.postgresql import cluster
from tests.telemetry.meter.test_history import BEGAN_S, HOUR_S, told, two_hours

ENDED_S = BEGAN_S + 2 * HOUR_S
Make = Callable[[str], Database]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Make]:
    made: list[str] = []

    def make(kind: str) -> Database:
        if kind == "sqlite":
            return Database(f"sqlite:///{tmp_path}/{len(list(tmp_path.iterdir()))}.db")
        made.append(cluster().url())
        return Database(made[-1])

    yield make
    for url in made:
        cluster().drop(url)


def billed(kept: Database) -> list[object]:
    """By the hour, as a month is when it is over."""
    history = History(Config(), kept)
    found = []
    for subject in ("", "project-a", "project-b", "ax1"):
        taken = steps(history.samples(subject, BEGAN_S, ENDED_S, HOUR_S), BEGAN_S, ENDED_S, HOUR_S)
        found.append((totals(taken), percentiles(taken), taken))
    return found


def metered(kept: Database) -> History:
    history = History(Config(), kept)
    two_hours(history)
    while history.roll_up(ENDED_S + 120):
        pass
    return history


@pytest.mark.parametrize(
    ("source", "target"), [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite")]
)
def test_a_closed_month_is_billed_as_before(database: Make, source: str, target: str) -> None:
    first, second = database(source), database(target)
    metered(first)
    before, file = billed(first), io.BytesIO()
    rows = copy.write(first, file)
    two_hours(History(Config(), second), until=300)
    file.seek(0)
    assert copy.put_back(second, iter(file)) == rows > 100
    assert billed(second) == before
    assert before[0][0]["out_bytes"] > 0  # type: ignore[index]
    assert History(Config(), second).heads() == History(Config(), first).heads()


def test_counting_goes_on_from_where_it_was(database: Make) -> None:
    """What passed since the backup is in the first step after it: nothing twice, nothing lost."""
    first, second = database("sqlite"), database("sqlite")
    before, file = History(Config(), first), io.BytesIO()
    before.note([told("h1", BEGAN_S, {"ax1": 100})], BEGAN_S)
    before.note([told("h1", BEGAN_S + 10, {"ax1": 300})], BEGAN_S + 10)
    copy.write(first, file)
    before.note([told("h1", BEGAN_S + 20, {"ax1": 1000})], BEGAN_S + 20)
    file.seek(0)
    copy.put_back(second, iter(file))
    (sample,) = History(Config(), second).note([told("h1", BEGAN_S + 40, {"ax1": 1500})], BEGAN_S + 40)
    assert (sample.begun_s, sample.out_bytes) == (BEGAN_S + 10, 1200)


@pytest.mark.parametrize("harm", [lambda text: text[: len(text) // 2], lambda text: text.replace(b"[60,", b"{60,", 1)])
def test_a_damaged_copy_changes_nothing(database: Make, harm: Callable[[bytes], bytes]) -> None:
    first, second = database("sqlite"), database("sqlite")
    metered(first)
    metered(second)
    before, file = billed(second), io.BytesIO()
    copy.write(first, file)
    with pytest.raises(copy.CopyError):
        copy.put_back(second, iter(io.BytesIO(harm(file.getvalue()))))
    assert billed(second) == before
    assert copy.put_back(second, iter(())) == 0, "a backup from before there was any"
    assert billed(second) == before
