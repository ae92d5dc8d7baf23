"""The tour's own judgement: what differs, what was touched, and that it ends at the first step that fails."""

import time
from typing import Any, cast

import pytest

from suimon.lab.births import Birth, at_once, births, touched
from suimon.lab.error import LabError
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig, Layout
from suimon.lab.tour import restarts, tour
from suimon.lab.tour.guide import Guide, differences

DUMP = """OFPST_FLOW reply (OF1.5) (xid=0x2):
 cookie=0x5a01, duration=12.345s, table=0, n_packets=7, n_bytes=98, idle_age=3, priority=10 actions=goto_table:2
 cookie=0x5a02, duration=1.002s, table=0, n_packets=0, n_bytes=0, priority=0 actions=drop
"""


def test_flows_are_told_apart_without_their_counters_and_born_before_now_by_their_age() -> None:
    asked: list[float] = []

    def dump() -> str:
        asked.append(time.monotonic())
        return DUMP

    found = births(dump)
    ages = {
        "cookie=0x5a01, table=0, priority=10 actions=goto_table:2": 12.345,
        "cookie=0x5a02, table=0, priority=0 actions=drop": 1.002,
    }
    assert found.keys() == ages.keys()
    assert all(found[flow].earliest <= asked[0] - ages[flow] <= found[flow].latest for flow in ages)


def test_differences_are_lines_of_one_side_only() -> None:
    before = {"hv1 br-int flows": ["a", "b"], "hv1 br-old ports": ["x"]}
    after = {"hv1 br-int flows": ["b", "c"]}
    assert differences(before, before) == []
    assert differences(before, after) == ["- hv1 br-int flows: a", "+ hv1 br-int flows: c", "- hv1 br-old ports: x"]


@pytest.mark.parametrize(
    ("after", "changed"),
    [
        ({"f": (99.0, 100.5), "g": (50.0, 50.0)}, []),
        ({"f": (100.2, 107.0), "g": (50.0, 50.0)}, []),
        ({"f": (100.3, 100.3), "g": (50.0, 50.0)}, ["f"]),
        ({"f": (100.0, 100.2)}, ["g"]),
        ({"f": (100.0, 100.2), "g": (50.0, 50.0), "h": (120.0, 120.0)}, ["h"]),
        ({}, ["f", "g"]),
    ],
)
def test_a_flow_that_was_put_in_again_is_touched(after: dict[str, tuple[float, float]], changed: list[str]) -> None:
    before = {"f": Birth(100.0, 100.2), "g": Birth(50.0, 50.0)}
    assert touched(before, {flow: Birth(*each) for flow, each in after.items()}) == changed


def test_what_may_have_been_put_in_at_one_moment_is_at_once() -> None:
    assert at_once([Birth(1.0, 2.0), Birth(1.9, 2.9)])
    assert not at_once([Birth(1.0, 2.0), Birth(1.5, 2.5), Birth(2.1, 3.1)])


def test_a_window_is_clean_only_without_loss_and_with_every_stream_whole() -> None:
    assert restarts.Window(8000, {"VXLAN": 0}, 3.0, []).clean
    assert not restarts.Window(8000, {"VXLAN": 1}, 3.0, []).clean
    assert not restarts.Window(8000, {"VXLAN": 0}, 3.0, ["VXLAN"]).clean


class EmptyLab:
    """A lab without hypervisors: enough for a guide that shows nothing of it."""

    class Bare(Layout, frozen=True):
        hosts = ()  # type: ignore[assignment]

    layout = Bare(LabConfig())


def shown(monkeypatch: pytest.MonkeyPatch, steps: dict[int, Any]) -> tuple[bool, list[str]]:
    monkeypatch.setattr(tour, "STEPS", steps)
    said: list[str] = []
    return tour.Tour(cast(Lab, EmptyLab()), said.append).run(), said


def held(guide: Guide) -> None:
    guide.check(True, "water is wet", "100 %")


def fails(guide: Guide) -> None:
    guide.check(False, "pigs fly", "0 of 3")


def breaks(guide: Guide) -> None:
    raise LabError("The openstack client said no.")


def test_a_tour_that_holds_counts_its_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    passed, said = shown(monkeypatch, {1: ("one", held), 2: ("two", held)})
    assert passed and said[-1].startswith("\nThe tour held: 2 checks")
    assert "    ok  water is wet: 100 %" in said


@pytest.mark.parametrize(("bad", "why"), [(fails, "pigs fly: 0 of 3"), (breaks, "said no")])
def test_a_tour_ends_at_the_first_step_that_fails(monkeypatch: pytest.MonkeyPatch, bad: Any, why: str) -> None:
    passed, said = shown(monkeypatch, {1: ("one", held), 2: ("two", bad), 3: ("three", held)})
    assert not passed and why in said[-1] and "ends at step 2" in said[-1]
    assert not any("three" in line for line in said)
