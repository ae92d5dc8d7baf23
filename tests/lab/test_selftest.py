"""The matrix of limits judges: every cell is measured, and what is off, silent or never offered doesn't hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from suimon.lab import processes
from suimon.lab.error import LabError
from suimon.lab.selftest.ground import Hypervisor, port_ground
from suimon.lab.selftest.matrix import BOUNDS, Cell, Limit, Measured, Peer, measured

KBPS, PACKETS = Limit("kbps", 10_000), Limit("packets/s", 1000)


class Ground:
    """Without a network: `given` is what every receiver says."""

    namespace = "limited"

    def __init__(self, given: dict[str, Any] | None = None, sent: float = 1e6) -> None:
        self.peers = {"same host": Peer("peer", "192.0.2.2", "192.0.2.1"), "outside": Peer("internet", "2", "1")}
        self.limits: list[Limit] = []
        self.ran: list[tuple[str, ...]] = []
        self._told = {"bytes": 9, "received": 9, "ended": "never connected", "rate_kbps": 9800.0, "rate_pps": 990.0}
        self._told |= given or {}
        self._sent = {"sent": sent, "seconds": 1.0}

    def limit(self, limit: Limit) -> None:
        self.limits.append(limit)

    def probe(self, *args: str) -> Any:
        self.ran.append(args)
        return _Said(self._told if args[1] in ("accept", "receive") else self._sent)


class _Said:
    def __init__(self, result: dict[str, Any]) -> None:
        self.result: Callable[[], dict[str, Any]] = lambda: result

    def __enter__(self) -> _Said:
        return self

    def __exit__(self, *_: object) -> None: ...

    def ready(self) -> None: ...


def test_each_limit_is_measured_both_ways_by_both_protocols_over_every_path() -> None:
    ground = Ground()
    done = list(measured(ground, ground.probe, (KBPS, PACKETS), 2))
    assert len({each.cell for each in done}) == 16 and ground.limits == [KBPS, PACKETS]
    assert [each.rate for each in done] == [9800.0] * 8 + [990.0] * 8 and all(each.held for each in done)
    assert {args[:3] for args in ground.ran if args[1] == "stream"} == {
        ("limited", "stream", "192.0.2.2"),
        ("peer", "stream", "192.0.2.1"),
        ("limited", "stream", "2"),
        ("internet", "stream", "1"),
    }


@pytest.mark.parametrize(("protocol", "bound"), BOUNDS.items())
@pytest.mark.parametrize("sign", [1, -1])
def test_a_limit_is_off_by_no_more_than_its_bound(protocol: str, bound: float, sign: int) -> None:
    cell = Cell(PACKETS, "same host", "out", protocol)
    assert Measured(cell, 1000 * (1 + sign * (bound - 0.001))).held
    assert not Measured(cell, 1000 * (1 + sign * (bound + 0.001))).held


@pytest.mark.parametrize(
    ("given", "sent", "protocol", "words"),
    [
        ({"bytes": 0}, 1e6, "TCP", "no TCP connection: never connected"),
        ({"received": 0}, 1e6, "UDP", "no UDP packet arrived"),
        # Of packets, 2,500/s are to be offered: 1,499 could hardly show a limit of 1,000.
        ({}, 1499, "UDP", "this machine sends 1499 packets/s, 2500 were needed"),
    ],
)
def test_what_could_not_be_measured_does_not_hold(
    given: dict[str, Any], sent: float, protocol: str, words: str
) -> None:
    ground = Ground(given, sent)
    done = [each for each in measured(ground, ground.probe, (PACKETS,), 2) if each.cell.protocol == protocol]
    assert {each.failure for each in done} == {words} and not any(each.held for each in done)


def test_what_one_left_that_was_killed_is_removed_before_another_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    called: list[str] = []

    def run(command: list[str]) -> None:
        ran.append(" ".join(command))
        raise LabError("it is gone already")

    def call(method: str, path: str, body: object) -> Any:
        called.append(f"{method} {path}")
        if method == "POST":
            raise LabError("that is far enough")
        there = {"ports": [{"id": "0123456789abcdef"}], "networks": [{"id": "n"}], "policies": [{"id": "p"}]}
        return {"security_groups": [], **there}

    monkeypatch.setattr(processes, "run", run)
    with pytest.raises(LabError, match="far enough"), port_ground(call, [Hypervisor("hv 1", "unix:db.sock")], [KBPS]):
        pass
    mine = "?name=suimon-selftest-hv%201"
    assert called == [
        *(f"GET /v2.0/ports{mine}", "DELETE /v2.0/ports/0123456789abcdef"),
        *(f"GET /v2.0/networks{mine}", "DELETE /v2.0/networks/n", f"GET /v2.0/security-groups{mine}"),
        *(f"GET /v2.0/qos/policies{mine}", "DELETE /v2.0/qos/policies/p", "POST /v2.0/networks"),
    ]
    assert "del-port br-int tap0123456789a" in ran[0] and ran[1] == "ip netns delete suimon-probe-01234567"
