"""Sums by port and ten seconds are what the records say."""

import numpy as np

from suimon.model.records import FROM_GUEST, TO_GUEST, batch_of
from suimon.telemetry.flow.accounts import Accounts

NOW = 1_800_000_000.0


def test_a_record_is_counted_at_its_port_over_its_time() -> None:
    batch = batch_of(4)
    batch["port"], batch["direction"] = [0, 0, 1, -1], [FROM_GUEST, TO_GUEST, 0, FROM_GUEST]
    batch["begun"], batch["ended"] = [NOW + 1, NOW + 5, NOW + 2, NOW], [NOW + 2, NOW + 15, NOW + 2, NOW]
    batch["packets"], batch["bytes"], batch["sampling"] = [10, 20, 1, 99], [1000, 2000, 100, 9999], [0, 1, 64, 1]
    accounts = Accounts(ports=2, kept_s=30)
    accounts.add(batch)
    assert accounts.due(NOW + 30) == []
    first, second = accounts.due(NOW + 60)
    assert (first.begun_s, second.begun_s) == (NOW, NOW + 10)
    assert first.bytes.tolist() == [[0, 1000, 1000], [6400, 0, 0]]
    assert second.bytes.tolist() == [[0, 0, 1000], [0, 0, 0]]
    assert first.packets.tolist() == [[0, 10, 10], [64, 0, 0]]
    assert (first.flows + second.flows).tolist() == [[0, 1, 1], [1, 0, 0]]


def test_sums_are_kept_whatever_comes_late_and_however_long() -> None:
    chance = np.random.default_rng(5)
    accounts, got = Accounts(ports=50, kept_s=30), np.zeros(3)
    sent = np.zeros(3)
    for turn in range(20):
        batch = batch_of(500)
        batch["port"], batch["direction"] = chance.integers(-1, 50, 500), chance.integers(0, 3, 500)
        batch["ended"] = NOW + 10 * turn - chance.exponential(40, 500)
        batch["begun"] = batch["ended"] - chance.exponential(60, 500) * (chance.random(500) < 0.5)
        batch["packets"], batch["bytes"] = chance.integers(0, 1 << 20, 500), chance.integers(0, 1 << 30, 500)
        ours = batch[batch["port"] >= 0]
        sent += [ours["bytes"].sum(), ours["packets"].sum(), len(ours)]
        accounts.add(batch)
        closed = accounts.due(NOW + 10 * turn)
        assert len(closed) <= 400 and all(each.begun_s <= NOW + 10 * turn - 40 for each in closed)
        got += np.sum([[each.bytes.sum(), each.packets.sum(), each.flows.sum()] for each in closed], axis=0)
    last = accounts.due(NOW + 1000)
    got += np.sum([[each.bytes.sum(), each.packets.sum(), each.flows.sum()] for each in last], axis=0)
    assert got.tolist() == sent.tolist()
