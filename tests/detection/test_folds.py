"""The compiled folds and numpy's find the same, of whatever records."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from suimon.detection import folds
from suimon.detection.choices import Amount, Choice, Columns, Hash, Rows, marks
from suimon.detection.distinct import Distinct, Tallies
from suimon.detection.floods import Peer, most_exchanged
from suimon.detection.folds import Adds, Cells, Fold, Keyed, Rings, Wanted
from suimon.detection.rates import Rates
from suimon.detection.room import Room
from suimon.detection.seen import FLAGGED, IS_TCP, OUT, TRIED, WENT_ON, Seen, keys_of
from suimon.model.records import Batch, batch_of, some
from tests.compiled import both as by_both
from tests.compiled import built
from tests.detection.traffic import EPOCH, tags

PORTS = 5


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds, "_LIBRARY", built(folds, tmp_path_factory.mktemp("folds")))
        yield


both = partial(by_both, folds)
"""By folds.c, then by numpy."""


def whatever(count: int, seed: int = 3) -> Batch:
    """Records of all kinds, some of no port, no direction or no time, some long."""
    chance, batch = np.random.default_rng(seed), batch_of(count)
    for name in ("source_port", "destination_port"):
        batch[name] = chance.choice([0, 22, 53, 1023, 40000, 65535], count)
    for name in ("source_high", "source_low", "destination_high", "destination_low"):
        batch[name] = chance.choice([0, 7, 1 << 63], count)
    batch["protocol"], batch["tcp_flags"] = chance.choice([1, 6, 6, 17, 58, 255], count), chance.integers(0, 256, count)
    packets = chance.integers(0, 1 << 63, count)
    batch["packets"], batch["bytes"] = np.where(packets % 2, packets, packets % 5), (1 << 64) - 1
    batch["sampling"], batch["direction"] = chance.choice([0, 1, 512], count), chance.choice([0, 1, 1, 2, 2, 3], count)
    batch["port"] = chance.integers(-1, PORTS + 1, count)
    batch["ended"] = EPOCH + np.round(chance.random(count) * 125 - 122, 1)
    batch["begun"] = batch["ended"] - np.round(chance.choice([0, 0.5, 3, 70, 1e300, -1], count), 1)
    batch["ended"][chance.random(count) < 0.01] = np.nan
    return batch


def looking(*batches: Batch) -> Seen:
    return Seen(batches, tags(PORTS), keys_of(tags(PORTS), 9), EPOCH, Room(9))


def same(one: Any, other: Any) -> bool:
    return len(one) == len(other) and bool((one == other).all())


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_records_as_detectors_look_at_them(count: int) -> None:
    batch = whatever(count)
    compiled, plain = both(lambda: looking(batch))
    assert compiled.skipped == plain.skipped
    assert count < 100 or count // 10 < len(plain) < count
    for name, one, other in zip(Columns._fields, compiled.columns, plain.columns, strict=True):
        assert same(one, other), name


def test_records_in_parts_are_looked_at_as_one() -> None:
    batch = whatever(3000)
    whole, room = looking(batch), Room(9)
    for parts in ((batch[:1000], batch[1000:1000], batch[1000:]), (batch[:10], batch[10:])):
        for seen in both(lambda: Seen(parts, tags(PORTS), keys_of(tags(PORTS), 9), EPOCH, room)):  # noqa: B023
            assert seen.skipped == whole.skipped
            assert all(same(one, other) for one, other in zip(seen.columns, whole.columns, strict=True))


def taken(seen: Seen, choice: Choice, key: Hash) -> tuple[Rows, Any, Any]:
    """What a fold finds: rows, which records have none, and keys; copied, as others find theirs in the same place."""
    rows, missed, keys = Fold(Keyed(64), choice, key).find(seen.looked)
    return Rows(*(each.copy() for each in rows)), missed.copy(), keys.copy()


@pytest.mark.parametrize("wanted", [0, OUT, IS_TCP | FLAGGED, TRIED])
@pytest.mark.parametrize(("own", "peer"), [(None, None), ([22, 65535], None), (None, [0, 53]), ([22, 53], [0, 22])])
def test_records_of_some_classes(wanted: int, own: list[int] | None, peer: list[int] | None) -> None:
    seen = looking(whatever(3000))
    choice = Choice(wanted, OUT & ~wanted, *(None if each is None else marks(each) for each in (own, peer)))
    compiled, plain = both(lambda: taken(looking(whatever(3000)), choice, Hash("port"))[0].chosen)
    assert same(compiled, plain)
    assert 0 < len(plain) < len(seen)


@pytest.mark.parametrize("letters", ["", "o", "l", "d", "pt", "st", "odp", "O", "Lp"])
@pytest.mark.parametrize(("of", "plus"), [("port", 0), ("peer", 1)])
def test_hashes_of_records(of: str, letters: str, plus: int) -> None:
    compiled, plain = both(lambda: taken(looking(whatever(3000)), Choice(IS_TCP), Hash(of, letters, plus))[2])
    assert same(compiled, plain)
    assert len(np.unique(plain)) >= PORTS


def keyed(batch: Batch) -> list[Any]:
    """All that a table says while its keys change."""
    drawn, table, held = np.random.default_rng(4), Keyed(64), np.zeros(64, np.bool_)
    # At first only TCP has rows: who is known then isn't all who are known later.
    first_asking, asking = (Fold(table, Choice(wanted), Hash("port", "tp")) for wanted in (IS_TCP, 0))
    knowing = Fold(table, Choice(0), Hash("port", "tp"), known=True)
    told: list[Any] = []
    for turn in range(30):
        seen = looking(some(batch, drawn.random(len(batch)) < 0.1))
        (chosen, of, own, first), missed, keys = (first_asking if turn < 10 else asking).find(seen.looked)
        known = knowing.find(seen.looked)
        order = np.argsort(own)
        told.append([each.tolist() for each in (of, own[order], first[order], missed, table.find(keys), keys)])
        told[-1] += [known[0].chosen.tolist(), known[0].of.tolist(), known[2].tolist()]
        new, at = np.unique(keys[missed], return_index=True)
        rows = drawn.permutation(64)[: len(new)] if turn % 2 else np.flatnonzero(~held)[: len(new)]
        held[rows] = True
        count = len(rows)
        table.claim(seen.looked, rows, chosen[missed[at[:count]]], new[:count], np.flatnonzero(held))
        told.append([table.ended_s.tolist(), table.scale.tolist(), (table.turns == table.turn).tolist(), len(table)])
        told.append(table.origins.tolist())
    return told


def test_rows_of_keys() -> None:
    compiled, plain = both(lambda: keyed(whatever(2000)))
    assert compiled == plain
    assert any(-1 in each[0] and max(each[0]) > 0 for each in plain[::3])


def whole(seen: Seen) -> list[Any]:
    """All records, in an order of their own."""
    return sorted(zip(*(each.tolist() for each in seen.columns), strict=True))


def test_who_looks_in_the_same_room_again_finds_the_same() -> None:
    """The room knows by then which records its folds take, and writes no others."""
    own, peer = marks([22, 53]), marks([0, 65535])
    wanted = [Choice(0), Choice(OUT), Choice(TRIED, OUT, own), Choice(IS_TCP, peer=peer), Choice(IS_TCP, 0, own, peer)]
    wanted.append(Choice(WENT_ON))
    batch, room, table = whatever(3000), Room(9), Keyed(64)
    batch["packets"] %= 5
    folding = [Fold(table, each, Hash("port", "tp"), known=known) for each in wanted for known in (False, True)]
    lanes: list[list[Any]] = []
    for _ in range(3):
        seen = Seen((batch[:700], batch[700:]), tags(PORTS), keys_of(tags(PORTS), 9), EPOCH, room)
        lanes.append([])
        for fold in folding:
            (chosen, *_), missed, keys = fold.find(seen.looked)
            lanes[-1] += [keys.tolist(), *(each[chosen].tolist() for each in seen.taken)]
            if len(missed) and not len(table):
                new, at = np.unique(keys[missed], return_index=True)
                rows = np.arange(min(20, len(new)))
                table.claim(seen.looked, rows, chosen[missed[at[rows]]], new[rows], rows)
        lanes[-1].append(whole(looking(batch)) == whole(seen))
    assert lanes[0][-1] and lanes[1:] == [lanes[0]] * 2
    assert all(lanes[0][:-1]), "each takes some"


def test_more_choices_than_a_room_has_place_for() -> None:
    room = Room(9)
    numbers = [room.choice(Choice(each), listed=True) for each in range(20)]
    assert numbers == [*range(15), *[-1] * 5]
    seen = Seen([whatever(300)], tags(PORTS), keys_of(tags(PORTS), 9), EPOCH, room)
    found, _, _ = Fold(Keyed(8), Choice(IS_TCP | OUT), Hash("port")).find(seen.looked)
    assert same(found.chosen, np.flatnonzero(seen.columns.out & (seen.columns.protocol == 6)))


def welcomed(batch: Batch, most: int, twice: bool) -> list[Any]:
    """All that a table says while more keys come than it has rows for."""
    drawn, table = np.random.default_rng(4), Keyed(most, twice)
    fold, told = Fold(table, Choice(0), Hash("port", "tpo")), list[Any]()
    for turn in range(40):
        part = some(batch, drawn.random(len(batch)) < drawn.choice([0.005, 0.03]))
        seen = Seen([part], tags(PORTS), keys_of(tags(PORTS), 9), EPOCH + turn, Room(9))
        found, missed, keys = fold.find(seen.looked)
        keys = keys.copy()
        (chosen, of, own, first), given = table.welcome(seen.looked, keys, found, missed)
        order = np.argsort(own)
        assert len(np.unique(own)) == len(own) and set(given) <= set(own)
        assert same(np.unique(of[of >= 0]), own[order]) and same(of[first], own)
        told.append([each.tolist() for each in (chosen, of, own[order], first[order], given, table.find(keys))])
        told.append([each[own[order]].tolist() for each in (table.ended_s, table.scale, table.turns, table.sides)])
        told.append([len(table), table.origins[: len(table)].tolist()])
    return told


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("most", [1, 16, 64])
def test_rows_for_new_keys(most: int, twice: bool) -> None:
    compiled, plain = both(lambda: welcomed(whatever(4000), most, twice))
    assert compiled == plain
    assert plain[-1][0] == most
    assert sum(len(each[4]) for each in plain[::3]) > 2 * most, "rows were given away"


def filled(batch: Batch, rows: int, adds: Adds) -> None:
    """A fold of all records, of which so many keys have rows; some others have none."""
    seen, table = looking(batch), Keyed(rows)
    fold = Fold(table, Choice(0), Hash("port", "p"), adds)
    for _ in range(2):
        found, missed, keys = fold.find(seen.looked)
        if not len(table):
            new, at = np.unique(keys, return_index=True)
            table.claim(seen.looked, np.arange(rows), found.chosen[at[:rows]], new[:rows], np.arange(rows))
    assert 0 < len(missed) < len(seen)
    fold.count(seen.looked, found)


def test_cells_that_things_hit() -> None:
    batch = whatever(300)

    def hit() -> list[Cells]:
        made = cells, others, _ = Cells(8, 16), Cells(8, 4), Cells(8, 256)
        for part in (batch[:150], batch[150:]):
            before = cells.hit.copy()
            cells.most[:] = cells.hit.any(axis=1)
            things = Hash("key", "t"), Hash("peer"), Hash("peer", "olt")
            filled(part, 8, Adds(list(zip(made, things, strict=True))))
            assert (cells.most >= (cells.hit > before).sum(axis=1)).all()
        assert others.hit.any(axis=1).all()
        cells.most[:] = cells.hit.any(axis=1)
        for each in made:
            each.clear(np.array([2, 7]))
        return list(made)

    for compiled, plain in zip(*both(hit), strict=True):
        assert same(compiled.hit, plain.hit)
        assert plain.hit[3].any() and not plain.hit[[2, 7]].any()


def test_amounts_over_seconds() -> None:
    batch = whatever(4000)
    amounts = [Amount((0, 1), "bytes"), Amount((2, 2), "packets"), Amount((3, 3), "sampled", IS_TCP)]

    def laid() -> Rings:
        rings = Rings(30, 64, 4)
        rings.advance(int(EPOCH) - 63)
        filled(batch, 30, Adds((), rings, amounts))
        return rings

    compiled, plain = both(laid)
    assert (compiled.amounts == plain.amounts).all()
    assert same(compiled.until, plain.until)
    total = plain.amounts.sum(axis=1, dtype=np.float64)[:30]
    assert all((each.most >= total * (1 - 1e-9)).all() for each in (compiled, plain))
    assert (plain.amounts.sum(axis=1) > 0).any(axis=0).all()
    assert plain.amounts.any(axis=(0, 2)).sum() == 64, "some last for longer than the ring has seconds"


def peaks(batch: Batch, known: bool) -> list[Any]:
    """Rows that may be above a threshold while records come, second after second."""
    table, rates, drawn = Keyed(64), Rates(64, 4, 5, known), np.random.default_rng(5)
    amounts = [Amount((2, 0), "bytes"), Amount((3, 1), "packets")]
    fold, told = Fold(table, Choice(0), Hash("port", "tp"), Adds((), rates.rings, amounts)), list[Any]()
    batch["packets"], batch["bytes"] = drawn.integers(0, 1000, len(batch)), drawn.integers(0, 1 << 20, len(batch))
    for turn in range(30):
        part = some(batch, drawn.random(len(batch)) < 0.1)
        part["ended"] += turn
        part["begun"] += turn
        seen = Seen([part], tags(PORTS), keys_of(tags(PORTS), 9), EPOCH + turn, Room(9))
        rates.advance(EPOCH + turn)
        found, missed, keys = fold.find(seen.looked)
        found, given = table.welcome(seen.looked, keys.copy(), found, missed)
        rates.forget(given)
        fold.count(seen.looked, found)
        for side, metric, amount in ((1, 2, 3e8), (2, 0, 1e8), (3, 1, 1e3)):
            near = rates.near(table, found.own, Wanted(side, metric, amount, 5))
            # How near numpy looks at is another matter.
            told.append([each[near.amounts[:, metric] >= amount].tolist() for each in near])
    return told


def test_rows_that_may_be_above_a_threshold() -> None:
    compiled, plain = both(lambda: peaks(whatever(3000), known=False))
    assert compiled == plain
    assert list(both(lambda: peaks(whatever(3000), known=True))) == [plain] * 2, "how much is kept is no matter"
    counts = [len(each[0]) for each in plain]
    assert 0 in counts and max(counts) > 5, "some are, some aren't"


def counted(batch: Batch) -> list[Any]:
    """What sketches count while days pass, some of rows that there was no memory for yet."""
    distinct, table, rows = Distinct(5000), Keyed(5000), np.array([0, 1, 4999])
    fold, told = Fold(table, Choice(0), Hash("port"), Adds([(distinct.cells, Hash("peer", "tol"))])), list[Any]()
    distinct.forget(rows)
    before = batch["ended"] - batch["begun"]
    for passed_s in (0, 5, 55_800, 56_000, 56_005, 300_000, 300_005, 10_000, 10_001):
        batch["ended"] = EPOCH + passed_s - np.arange(len(batch)) % 100
        batch["begun"] = batch["ended"] - before
        part = some(batch, np.arange(len(batch)) % 7 == passed_s % 7)
        seen = Seen([part], tags(PORTS), keys_of(tags(PORTS), 9), EPOCH + passed_s, Room(9))
        found, _, keys = fold.find(seen.looked)
        if not len(table):
            new, at = np.unique(keys, return_index=True)
            table.claim(seen.looked, rows, found.chosen[at[:3]], new[:3], rows)
            found, *_ = fold.find(seen.looked)
        fold.count(seen.looked, found)
        since = np.full(3, EPOCH + passed_s - 60.0)
        told.append([distinct.count(rows, since - each).tolist() for each in (0, 55, 1000)])
    return told


def test_cells_over_days() -> None:
    compiled, plain = both(lambda: counted(whatever(400)))
    assert compiled == plain
    now, lately, long = (np.array(each) for each in zip(*plain, strict=True))
    assert (now > 0).all() and (lately >= now).all() and (lately > now).any()
    assert (long[3] > lately[3]).any(), "what was hit before cells moved on is known"


def tallied(batch: Batch, scaled: bool, least: tuple[float, float], seen: float = 0.0) -> list[Any]:
    """Rows that have seen enough of either of two things, while windows move on, and what they have of both."""
    services, peers, table = Distinct(16), Distinct(16, 64), Keyed(16)
    hits = [(services.cells, Hash("port", "ol")), (peers.cells, Hash("peer"))]
    fold, told = Fold(table, Choice(0), Hash("port", "t"), Adds(hits)), list[Any]()
    window_s, parts = 30, ((services, least[0]), (peers, least[1]))
    tallies = Tallies(table, window_s, *parts, scaled=scaled, least_seen=seen)
    for turn in range(0, 200, 5):
        part = some(batch, np.random.default_rng(turn).random(len(batch)) < 0.05)
        part["ended"] += turn
        part["begun"] += turn
        looked = Seen([part], tags(PORTS), keys_of(tags(PORTS), 9), EPOCH + turn, Room(9)).looked
        found, missed, keys = fold.find(looked)
        found, given = table.welcome(looked, keys.copy(), found, missed)
        services.forget(given)
        peers.forget(given)
        fold.count(looked, found)
        near, own = tallies.near(found.own), found.own.copy()
        assert (own[near.which] == near.rows).all()
        since_s, scale = table.ended_s[own] - window_s, table.scale[own] if scaled else 1.0
        counts = [each.count(own, since_s) for each in (services, peers)]
        enough = np.any([has >= np.maximum(of / scale, seen) for has, of in zip(counts, least, strict=True)], axis=0)
        assert near.rows.tolist() == sorted(own[enough].tolist())
        assert all((of[near.which] == near.counts[n]).all() for n, of in enumerate(counts))
        told.append([near.rows.tolist(), near.counts.tolist()])
    return told


@pytest.mark.parametrize("least", [(9.0, 4.0), (3.0, math.inf)])
@pytest.mark.parametrize(("scaled", "seen"), [(False, 0.0), (True, 0.0), (True, 2.0)])
def test_rows_that_have_seen_enough(least: tuple[float, float], scaled: bool, seen: float) -> None:
    compiled, plain = both(lambda: tallied(whatever(3000), scaled, least, seen))
    assert compiled == plain
    counts = [len(rows) for rows, _ in plain]
    assert min(counts) < max(counts) and max(counts) > 5, "some have, some haven't"


def exchanges(batch: Batch) -> list[tuple[int, bool, Peer, Peer]]:
    """With whom each row exchanges most, either way, in packets and octets."""
    batch["packets"], batch["bytes"] = np.arange(len(batch)) % 5, np.arange(len(batch)) % 1400
    seen, table = looking(batch), Keyed(64)
    fold = Fold(table, Choice(0), Hash("port", "t"))
    found, missed, keys = fold.find(seen.looked)
    rows, _ = table.welcome(seen.looked, keys.copy(), found, missed)
    sides = sorted((int(row), out) for row in rows.own for out in (False, True) if table.sides[row] & (1 + out))
    return [(*each, *(most_exchanged(seen, rows, *each, octets) for octets in (False, True))) for each in sides]


@pytest.mark.parametrize("seed", [3, 4])
def test_with_whom_rows_exchange_most(seed: int) -> None:
    compiled, plain = both(lambda: exchanges(whatever(600, seed)))
    assert compiled == plain
    assert {out for _, out, *_ in plain} == {False, True}
    assert any(packets.text != octets.text for _, _, packets, octets in plain)
    assert any(0.1 < packets.share < 0.9 for _, _, packets, _ in plain)
