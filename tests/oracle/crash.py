"""A switch that was left at any point of a change: what the reconciler makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from suimon.dataplane.openflow.target import BridgeEntry, BridgeKey, bridge_entries
from suimon.model.owner import Owner
from suimon.reconcile import Changes, Config, Failure, Reconciler, plan
from tests.oracle.cluster import Cluster

Held = Mapping[BridgeKey, BridgeEntry]


def installed(cluster: Cluster, host: str) -> Held:
    return bridge_entries(cluster.underlay.hypervisors[host].installed)


def check_crash_points(cluster: Cluster, host: str, before: Held) -> None:
    """From any prefix of the messages that lead from `before` to now, a restart writes what is missing, no more."""
    programs = cluster.underlay.hypervisors[host].installed_by_owner
    wanted = {owner: bridge_entries(things) for owner, things in programs.items()}
    now = installed(cluster, host)
    whole = plan(now, before)
    for done in range(len(whole.keys) + 1):
        left = _Left(_after(before, whole, done))
        asyncio.run(_restarted(wanted, left))
        assert left.held == now
        assert sorted(map(repr, left.touched)) == sorted(map(repr, whole.keys[done:]))


def _after(before: Held, changes: Changes[BridgeKey, BridgeEntry], done: int) -> dict[BridgeKey, BridgeEntry]:
    held = dict(before)
    for key in changes.keys[:done]:
        if key in changes.set:
            held[key] = changes.set[key]
        else:
            del held[key]
    return held


async def _restarted(wanted: Mapping[Owner, Held], left: _Left) -> None:
    reconciler: Reconciler[Owner, BridgeKey, BridgeEntry] = Reconciler(Config(), left, lambda: 0.0)
    for owner, entries in wanted.items():
        reconciler.want(owner, entries)
    await reconciler.observe()
    await reconciler.round()


class _Left:
    """A target that holds what it was left with, and says what was touched."""

    def __init__(self, held: dict[BridgeKey, BridgeEntry]) -> None:
        self.held = held
        self.touched: list[BridgeKey] = []

    async def observe(self) -> Held:
        return dict(self.held)

    async def apply(self, changes: Changes[BridgeKey, BridgeEntry]) -> dict[BridgeKey, Failure]:
        self.touched += changes.keys
        self.held |= changes.set
        for key in changes.delete:
            del self.held[key]
        return {}
