"""Sums of times that slide are those of the samples in them, whatever was looked at before, and cost what is new."""

import random
from pathlib import Path

import pytest

from suimon.model.samples import Sample
from suimon.telemetry.meter.database import Trouble
from suimon.telemetry.meter.history import READ, History
from suimon.telemetry.meter.windows import Amounts, Window
from tests.telemetry.meter.test_history import BEGAN_S, HOUR_S, history, told

PORTS = ("ax1", "ay2", "bx3")


class Read:
    """A history, and how many samples were read of it."""

    def __init__(self, path: Path) -> None:
        self.history = history(path)
        self.counts = dict.fromkeys(PORTS, 0)
        self.drawn = random.Random(7)
        self.now_s = BEGAN_S
        self.samples = self.pieces = 0
        self.broken = False
        self._ask = self.history.samples
        self.history.samples = self._read  # type: ignore[method-assign]
        self.history.note([told(f"h{port}", BEGAN_S, {port: 0}) for port in PORTS], BEGAN_S)

    def _read(self, subject: str, since_s: float, until_s: float, coarsest_s: int) -> list[Sample]:
        if self.broken:
            raise OSError("away")
        found = self._ask(subject, since_s, until_s, coarsest_s)
        self.samples, self.pieces = self.samples + len(found), self.pieces + 1
        return found

    def go_on(self, until_s: float, every_s: int = 300) -> None:
        while self.now_s < until_s:
            self.now_s += every_s
            self.counts = {port: held + self.drawn.randrange(10**6) for port, held in self.counts.items()}
            reading = [told(f"h{port}", self.now_s, {port: held}) for port, held in self.counts.items()]
            self.history.note(reading, self.now_s)
        while self.history.roll_up(self.now_s):
            pass

    def truth(self, since_s: float, subject: str = "") -> Amounts:
        """All that ended after that, from readings: they are kept for longer than any test goes on."""
        found: dict[tuple[str, str], tuple[int, int, int, int]] = {}
        for one in self._ask(subject, since_s, self.now_s, READ):
            into, out, *outside = found.get((one.port_id, one.project_id), (0, 0, 0, 0))
            sums = into + one.in_bytes, out + one.out_bytes
            found[one.port_id, one.project_id] = (*sums, outside[0], outside[1])
        return found

    def look(self, window: Window) -> Amounts:
        self.samples = self.pieces = 0
        while not window.look(self.history, self.now_s):
            pass
        return window.amounts


@pytest.mark.parametrize(("lasts_h", "grain_s"), [(1.0, 60), (6.5, HOUR_S)])
def test_sums_of_a_time_that_slides_are_those_of_its_samples(tmp_path: Path, lasts_h: float, grain_s: int) -> None:
    kept, window = Read(tmp_path), Window(lasts_h * HOUR_S)
    for minutes in (5, 20, 65, 10, 180, 5, 5, 200, 60, 500, 5, 120):
        kept.go_on(kept.now_s + minutes * 60)
        edge_s = -(-(kept.now_s - lasts_h * HOUR_S) // grain_s) * grain_s
        assert kept.look(window) == kept.truth(edge_s)
    assert min(kept.counts.values()) > 0 and kept.truth(0) != kept.look(window)


def test_a_clock_that_is_set_back_is_counted_from_anew(tmp_path: Path) -> None:
    kept, window = Read(tmp_path), Window(2 * HOUR_S)
    kept.go_on(BEGAN_S + 4 * HOUR_S)
    before = kept.look(window)
    kept.now_s += 10 * 86400
    assert kept.look(window) == {}
    kept.now_s -= 10 * 86400
    assert kept.look(window) == before == kept.truth(BEGAN_S + 2 * HOUR_S)


@pytest.mark.parametrize("subject", ["", "project-a"])
def test_a_look_reads_what_is_new_however_long_the_time_is(tmp_path: Path, subject: str) -> None:
    kept, window = Read(tmp_path), Window(100 * HOUR_S, subject)
    kept.go_on(BEGAN_S + 5 * HOUR_S, 60)
    kept.look(window)
    first = kept.samples, kept.pieces
    kept.go_on(kept.now_s + 60, 60)
    kept.look(window)
    # Four hours as such, and the fifth in minutes and readings.
    assert 2 * 60 < first[0] <= len(PORTS) * (4 + 60 + 4) and first[1] > 5
    # What is too old by now, the minute that has settled meanwhile, and the readings that haven't, of each port.
    assert kept.samples <= len(PORTS) * 4 and kept.pieces <= 3
    kept.look(window)
    assert kept.pieces == 0


def test_of_one_since_a_moment(tmp_path: Path) -> None:
    kept = Read(tmp_path)
    kept.go_on(BEGAN_S + 3 * HOUR_S)
    since_s = BEGAN_S + HOUR_S + 130
    windows = {name: Window(24 * HOUR_S, name, since_s) for name in ("ax1", "project-a", "nobody")}
    for _ in range(3):
        for name, window in windows.items():
            assert kept.look(window) == kept.truth(BEGAN_S + HOUR_S + 180, name)
        kept.go_on(kept.now_s + 20 * 60)
    kept.now_s += 9 * 86400
    assert kept.look(windows["ax1"]) == kept.truth(BEGAN_S + HOUR_S + 180, "ax1"), "it goes on from where it began"
    late = Window(30 * 86400.0, "ax1", since_s)
    assert kept.look(late) == kept.truth(BEGAN_S + 2 * HOUR_S, "ax1"), "minutes may be gone: from the next full hour"


def test_a_database_that_is_away_for_a_while_leaves_no_gap(tmp_path: Path) -> None:
    kept, window = Read(tmp_path), Window(8 * HOUR_S)
    kept.go_on(BEGAN_S + 4 * HOUR_S)
    assert not window.look(kept.history, kept.now_s)
    kept.broken = True
    with pytest.raises(Trouble):
        window.look(kept.history, kept.now_s)
    kept.broken = False
    assert kept.look(window) == kept.truth(BEGAN_S - 4 * HOUR_S)
    kept.go_on(kept.now_s + 6 * HOUR_S)
    kept.broken = True
    with pytest.raises(Trouble):
        window.look(kept.history, kept.now_s)
    kept.broken = False
    assert kept.look(window) == kept.truth(BEGAN_S + 2 * HOUR_S)


def test_nothing_metered_is_nothing(tmp_path: Path) -> None:
    window, empty = Window(HOUR_S), History(history(tmp_path).config, history(tmp_path)._database)
    while not window.look(empty, BEGAN_S):
        pass
    assert window.amounts == {}
