"""`suimon host`: the two phases of `drain` and what is said of what is left, trouble, the trail."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner, Result

from suimon.cli import host as module
from suimon.cli import main

PORT = {"id": "p1", "device_owner": "compute:nova", "device_id": "vm1"}
LED = {"routers": ["r1"], "waiting_for": [], "ports": [PORT], "done": False}
UNTOLD = {"routers": [], "waiting_for": ["hv2"], "ports": [PORT], "done": False}
ALONE = {"routers": [], "waiting_for": [], "ports": [PORT], "done": True}
EMPTY = {"routers": [], "waiting_for": [], "ports": [], "done": True}


def drained(monkeypatch: pytest.MonkeyPatch, states: list[dict[str, Any]], *options: str) -> Result:
    """What is printed when the controller tells these, one after the other, and goes on with the last."""
    told = iter(states)
    monkeypatch.setattr(module, "_ASK_EVERY_S", 0.0)
    monkeypatch.setattr(module, "call", lambda *_: {"drain": next(told, states[-1])})
    return CliRunner().invoke(main, ["host", "drain", "hv1", *options])


def test_the_first_phase_ends_with_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    said = drained(monkeypatch, [LED, UNTOLD, ALONE])
    assert said.exit_code == 0
    assert said.output.splitlines() == [
        "No other host can lead out these routers: r1.",
        "Waiting until all hosts know; not yet: hv2.",
        "hv1 is drained; 1 ports are left on it.",
        "  p1  compute:nova  vm1",
    ]


def test_the_second_phase_ends_when_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    said = drained(monkeypatch, [UNTOLD, ALONE, ALONE, EMPTY], "--empty")
    assert said.exit_code == 0
    assert said.output.splitlines()[1:] == [
        "Nobody depends on it any more; 1 ports are left, for Nova to move.",
        "hv1 is drained; 0 ports are left on it.",
    ]


def test_guests_that_remain_are_an_error_that_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    said = drained(monkeypatch, [ALONE], "--empty", "--wait", "0")
    assert said.exit_code == 1
    assert "Not done within 0 s." in said.output and said.output.endswith("  p1  compute:nova  vm1\n")


@pytest.mark.parametrize(("offset_s", "said"), [(None, "-"), (-4.9, "-"), (45.2, "its clock is 45 s ahead")])
def test_a_clock_that_is_off_is_trouble(monkeypatch: pytest.MonkeyPatch, offset_s: float | None, said: str) -> None:
    host = {"name": "hv1", "up": True, "drained": False, "tunnel_ip": None, "lag_revisions": 0, "reported_at": None}
    host |= {"held": "", "failures": {}, "orphans": [], "clock_offset_s": offset_s}
    monkeypatch.setattr(module, "call", lambda *_: {"hosts": [host]})
    (line,) = CliRunner().invoke(main, ["host", "list"]).output.splitlines()[1:]
    assert line.endswith(f"  {said}")


def test_the_trail_of_a_host_is_shown_the_newest_last(monkeypatch: pytest.MonkeyPatch) -> None:
    drift = {"at": "T2", "kind": "drift", "author": "agent", "owner": "port/p", "missing": 2, "changed": 0, "extra": 1}
    drift |= {"example": "flow in antispoof", "repaired": False, "reason": "table full"}
    removal = {**drift, "at": "T1", "kind": "removal", "author": "root (uid 0): suimon agent clean", "owner": ""}
    removal |= {"example": "bridge br-old", "repaired": True}
    asked: list[str] = []

    def call(_state: object, _method: str, path: str) -> dict[str, Any]:
        asked.append(path)
        return {"events": [drift, removal]}

    monkeypatch.setattr(module, "call", call)
    said = CliRunner().invoke(main, ["host", "show", "hv/1", "--events", "--since", "2026-01-01", "--limit", "7"])
    assert asked == ["hosts/hv%2F1/events?since=2026-01-01&limit=7"]
    assert [re.split("  +", line) for line in said.output.splitlines()[1:]] == [
        ["T1", "removal", "root (uid 0): suimon agent clean", "-", "bridge br-old"],
        ["T2", "drift", "agent", "port/p", "2 missing, 1 extra; flow in antispoof; not repaired: table full"],
    ]
    as_json = CliRunner().invoke(main, ["host", "show", "hv1", "--since", "2h", "--json"])
    assert json.loads(as_json.output) == [drift, removal]
    assert re.fullmatch(r"hosts/hv1/events\?since=\d+&limit=100", asked[-1])
