"""What detectors do with each record: compiled (folds.c) where there was a compiler, else by numpy with equal results.

A place here is an index into the columns of a `Looked`; rows are a table's, -1 for none.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.detection import layouts
from suimon.detection.choices import (
    COUNTED,
    LETTERS,
    OF,
    READ,
    Amount,
    Choice,
    Columns,
    Floats,
    Hash,
    Hashes,
    Integers,
    Look,
    Marks,
    Rows,
    chosen_of,
    first_of,
    hashes_of,
    looked_of,
    seconds_of,
    shares_of,
    values_of,
)
from suimon.detection.room import Exchanged, Room
from suimon.model.compiled import AT, NUMBER, Function, library, place
from suimon.model.loops import Index, groups
from suimon.model.records import RECORD, Batch, numbers_of

_READ_NUMBERS: Final = numbers_of(*READ)
_NONE: Final = {name: np.empty(0, RECORD[name]) for name in READ}
_LEAST_ROWS: Final = 2048


class Looked:
    """The records of a known port and direction, of a time that is near; `at` is where C finds them."""

    def __init__(self, batches: Sequence[Batch], how: Look, room: Room | None = None) -> None:
        self.room, self.at, self.count, self.clock_s = room or Room(), 0, 0, how.clock_s
        self._filled = _LIBRARY is None
        self.choices = 0
        """So many of the room's choices are known of these records."""
        if _LIBRARY is None:
            whole = {name: np.concatenate([_NONE[name], *(batch[name] for batch in batches)]) for name in READ}
            self.columns = looked_of(whole, how, self.room.salt)
            self.count = len(self.columns.key)
            return
        self.room.make(sum(map(len, batches)))
        self.at = self.room.at
        self._batches = batches
        """C reads there until nobody looks at this any more."""
        self._arrays = keys, kinds = np.ascontiguousarray(how.keys), np.ascontiguousarray(how.kinds)
        times = how.clock_s - how.history_s, how.clock_s + 1.0, how.several
        chosen, self.choices = self.room.chosen(how.kinds), self.room.known()
        self._how = layouts.Look(place(keys), len(keys), *times, self.room.salt, place(kinds), how.transport, *chosen)
        self._places = np.array([batch.places(_READ_NUMBERS) for batch in batches], np.int64)
        self._counts = np.array([list(map(len, batches)), [0] * len(batches)], np.int64)
        told = place(self._places), *map(place, self._counts), len(batches)
        self._parts = layouts.Parts(*told)
        self._turn = self.room.tell(ctypes.addressof(self._parts), ctypes.addressof(self._how))
        self.count = _LIBRARY.suimon_look(self.at)

    def fill(self) -> None:
        """All that is asked of any record is written; otherwise, of those that folds take."""
        if not self._filled:
            assert _LIBRARY is not None and self._turn == self.room.turn, "others look there now"
            _LIBRARY.suimon_fill(self.at, self.count)
        self._filled = True

    @cached_property
    def taken(self) -> Columns:
        """What is written of those that folds take, by place, and whatever behind them."""
        return self.columns if _LIBRARY is None else self.room.columns(self.count)

    @cached_property
    def columns(self) -> Columns:
        """All of them, by place: in the order in which they were written."""
        self.fill()
        return self.room.columns(self.count)


_FRESH: Final = 7
"""Where in a table's parts it is."""

_NEW_SHARE: Final = 4
"""At most a quarter of the rows goes to new keys at once: what floods a table with keys can't empty it in one step,
and what is seen in each step stays."""
_ONCE_BITS: Final = 18
_ONCE_S: Final = 10.0


class Keyed:
    """Which row has which key, and of each the time of its last record and the sampling that it is counted by.

    With `twice` a key gets a row when it is seen again within ten seconds, not at once.
    """

    def __init__(self, most: int, twice: bool = False) -> None:
        self._rows = np.zeros(most, layouts.ROW)
        self.ended_s, self.scale = self._rows["ended"], self._rows["scale"]
        self.turn = 0
        """How often rows were asked for, and when each was last."""
        self.keys, self.turns, self.sides = self._rows["key"], self._rows["turn"], self._rows["sides"]
        """`sides` are those of the records of that turn: to the guest (1), and from it (2)."""
        self.origins = np.zeros(most, layouts.ORIGIN)
        assert most < 1 << 16, "a slot has room for no more"
        self._slots = np.zeros(1 << (2 * most).bit_length(), np.uint32)
        self._who, self._order = np.zeros(1 << 13, np.uint8), np.empty(most, np.uint64)
        self._once_s = np.full(1 << _ONCE_BITS, -np.inf) if twice else None
        parts = [place(self._rows), place(self.origins), place(self._slots), len(self._slots), place(self._who), 0]
        once = 0 if self._once_s is None else place(self._once_s)
        self._parts = np.array([*parts, most, 0, once, place(self._order)], np.int64)
        self.at = place(self._parts)
        self._held: Integers = np.empty(0, np.int64)
        self._fresh = self._parts[_FRESH : _FRESH + 1]
        """The first of the rows never used yet."""
        self._index = Index(self.keys[self._held])

    def __len__(self) -> int:
        return max(len(self._held), int(self._fresh[0]))

    def claim(self, seen: Looked, rows: Integers, records: Integers, keys: Hashes, held: Integers) -> None:
        """Those rows get these keys, each another, and begin with these records; only `held` rows have keys."""
        self._held = held
        if _LIBRARY is not None:
            at = place(rows), place(records), place(keys), len(rows), place(held), len(held)
            _LIBRARY.suimon_claim(self.at, self.turn, seen.at, *at)
            return
        columns, origins = seen.columns, self.origins
        self.keys[rows], self.turns[rows] = keys, self.turn
        self.sides[rows] = 1 << columns.out[records].astype(np.uint32)
        self.ended_s[rows], self.scale[rows] = columns.ended[records], columns.sampling[records]
        origins["port"][rows] = columns.key[records]
        for name in ("begun", "peer_high", "peer_low", "own_l4", "peer_l4", "protocol", "out", "ip_version"):
            origins[name][rows] = getattr(columns, name)[records]
        self._index = Index(self.keys[held])

    def welcome(self, seen: Looked, keys: Hashes, found: Rows, missed: Integers) -> tuple[Rows, Integers]:
        """What was just found, with rows for those keys of the records without any that are to have one: which rows.

        Those of most records get rows, those never used yet and then the longest unused.
        """
        if _LIBRARY is not None:
            lane = seen.room.lanes[0]
            count = _LIBRARY.suimon_welcome(self.at, self.turn, seen.at, seen.clock_s, lane.at)
            return lane.found()[0], lane.given[:count]
        first, which = groups(keys[missed])
        first, counts = missed[first], np.bincount(which)
        new = np.arange(len(first)) if self._once_s is None else self._seen_before(keys[first], counts, seen.clock_s)
        new = np.sort(new[np.argsort(-counts[new], kind="stable")][: max(1, len(self._rows) // _NEW_SHARE)])
        chosen, of, own, where = found
        rows = self._vacate(len(new))
        if (self.turns[rows] == self.turn).any():
            # Of records that flood the table even rows of their own were taken back.
            of[np.isin(of, rows)] = -1
            kept = ~np.isin(own, rows)
            own, where = own[kept], where[kept]
        self.claim(seen, rows, chosen[first[new]], keys[first[new]], np.arange(self._fresh[0]))
        given = np.full(len(first), -1)
        given[new] = rows
        of[missed] = given[which]
        self._again(seen, of, chosen, missed[of[missed] >= 0])
        return Rows(chosen, of, np.concatenate((own, rows)), np.concatenate((where, first[new]))), rows

    def _seen_before(self, keys: Hashes, counts: Integers, clock_s: float) -> Integers:
        assert self._once_s is not None
        part = (keys >> np.uint64(64 - _ONCE_BITS)).astype(np.int64)
        before = self._once_s[part]
        again = (counts > 1) | (before >= clock_s - _ONCE_S)
        self._once_s[part] = clock_s
        return np.flatnonzero(again)

    def _vacate(self, count: int) -> Integers:
        had = int(self._fresh[0])
        rows = np.arange(had, min(had + count, len(self._rows)))
        self._fresh[0] += len(rows)
        if more := count - len(rows):
            rows = np.concatenate((rows, np.sort(np.argsort(self.turns[:had], kind="stable")[:more])))
        return rows

    def _again(self, seen: Looked, of: Integers, chosen: Integers, which: Integers) -> None:
        """Those of the chosen records are their rows' last ones, perhaps."""
        np.maximum.at(self.ended_s, of[which], seen.columns.ended[chosen[which]])
        np.bitwise_or.at(self.sides, of[which], 1 << seen.columns.out[chosen[which]].astype(np.uint32))

    def rows(self, seen: Looked, chosen: Integers, keys: Hashes) -> tuple[Rows, Integers]:
        """As `Fold.find`, by numpy."""
        found, columns = self.find(keys), seen.columns
        own, first = first_of(found)
        self.turns[own], self.sides[own] = self.turn, 0
        self.scale[own] = np.maximum(self.scale[own], columns.sampling[chosen[first]])
        held = found >= 0
        self._again(seen, found, chosen, np.flatnonzero(held))
        return Rows(chosen, found, own, first), np.flatnonzero(~held)

    def find(self, keys: Hashes) -> Integers:
        """The row of each key, -1 for none."""
        if _LIBRARY is None:
            at = self._index.find(keys)
            return np.where(at >= 0, self._held[at], -1) if len(self) else at
        keys, found = np.ascontiguousarray(keys), np.empty(len(keys), np.int64)
        _LIBRARY.suimon_rows(self.at, place(keys), len(keys), place(found))
        return found


class Cells:
    """For each row cells that know when they were hit last: a second after the last one of what hit them, 0 for never.

    So many cells are a power of two. They count seconds from `base` on, which moves with the time; there is memory for
    as many rows as are in use.
    """

    def __init__(self, rows: int, count: int) -> None:
        self._rows, self.base = rows, 0
        self.hit = np.zeros((min(rows, _LEAST_ROWS), count), np.uint16)
        self._of_rows = np.zeros(rows, layouts.HIT_ROW)
        self.most = self._of_rows["most"]
        """As many cells of a row at least as were hit since this was set; 0 when none ever were."""
        self._so = layouts.Cells(place(self.hit), count, place(self._of_rows), 0)
        self.at = ctypes.addressof(self._so)

    def move(self, clock_s: float) -> None:
        """What is hit is of about that time."""
        clock = int(clock_s)
        if _NEAREST_S <= clock - self.base <= _MOST_S:
            return
        passed, self.base = clock - _BACK_S - self.base, clock - _BACK_S
        if self.most.any():
            moved = np.clip(self.hit.astype(np.int64) - passed, 0, np.iinfo(np.uint16).max)
            self.hit[...] = np.where(self.hit, moved, 0)
        self._so.base = self.base

    def add(self, seen: Looked, chosen: Integers, rows: Integers, things: Hashes) -> None:
        """Each record hits the cell of its thing in its row; by numpy."""
        count = self.hit.shape[1]
        held = np.flatnonzero(rows >= 0)
        cell = rows[held] * count + (things[held] % np.uint64(count)).astype(np.int64)
        _, last = seconds_of(seen.columns, chosen[held])
        at = np.clip(last + 1 - self.base, 1, np.iinfo(np.uint16).max).astype(np.uint16)
        np.maximum.at(self.hit.reshape(-1), cell, at)
        self.most[rows[held]] = count

    def clear(self, rows: Integers) -> None:
        """They begin anew."""
        if (needed := _more(rows, len(self.hit), self._rows)) > len(self.hit):
            before, self.hit = self.hit, np.zeros((needed, self.hit.shape[1]), np.uint16)
            self.hit[: len(before)] = before
            self._so.hit = place(self.hit)
        if _LIBRARY is None:
            self.hit[rows], self.most[rows] = 0, 0
        else:
            _LIBRARY.suimon_clear(self.at, place(rows), len(rows))

    def count(self, rows: Integers, since_s: Floats) -> Integers:
        """How many cells of each of these rows were hit after its `since_s`."""
        # As whole seconds, which compare much faster than with floats.
        after = np.clip(np.floor(since_s) - self.base, 0, np.iinfo(np.uint16).max).astype(np.uint16)
        if _LIBRARY is None:
            hit: Integers = (self.hit[rows] > after[:, None]).sum(axis=1, dtype=np.int64)
            return hit
        rows, found = np.ascontiguousarray(rows), np.empty(len(rows), np.int64)
        _LIBRARY.suimon_hits(self.at, place(rows), place(after), len(rows), place(found))
        return found


_BACK_S: Final = 4096
_NEAREST_S: Final = 2048
_MOST_S: Final = 60_000
"""The time lies so far behind the base of cells, which count no more than 65,535 seconds."""


def _more(rows: Integers, had: int, most: int) -> int:
    """For how many there has to be memory, where there is some for those it `had`."""
    if had == most:
        return had
    highest = int(rows.max(initial=-1))
    return had if highest < had else min(most, 1 << highest.bit_length())


class Tallies:
    """Counts of what hit cells, of those rows of a table alone that may have enough: a call of C, made once."""

    def __init__(
        self, table: Keyed, parts: Sequence[tuple[Cells, Floats, float, float]], window_s: int, scaled: bool
    ) -> None:
        """Of each part the cells, of how many things so many hit ones tell, and the least that is asked for: by what
        they stand for, and as they were seen."""
        most = len(table.ended_s)
        self._parts, self._which, self._things = parts, np.empty(most, np.int64), np.empty((len(parts), most))
        told = [layouts.Tally(cells.at, place(things), *least) for cells, things, *least in parts]
        self._so = (layouts.Tally * len(parts))(*told)
        self._asked = ctypes.addressof(self._so), len(parts), table.at, window_s, scaled
        self._into = place(self._which), place(self._things)

    def near(self, rows: Integers) -> tuple[Integers, Floats] | None:
        """Where among the rows each of them is, and its counts (parts, rows), good until the next are asked for; None
        without a compiler.
        """
        if _LIBRARY is None:
            return None
        count = _LIBRARY.suimon_tally(*self._asked, place(rows), len(rows), *self._into)
        return self._which[:count], self._things[:, :count]


class Rings:
    """Amounts of each row, second and metric: of `slots` seconds up to the last one that a row has any in. The place of
    a second is its remainder. There is memory for as many rows as are in use.
    """

    def __init__(self, rows: int, slots: int, metrics: int) -> None:
        self._most_rows, self.oldest, self.slots = rows, 0, slots
        self._layout = layouts.ring(slots, metrics)
        self._block = self._blank(min(rows, _LEAST_ROWS))
        self._so = layouts.Rings(place(self._block), slots, self._layout.itemsize, metrics, 0)
        self.at = ctypes.addressof(self._so)
        self._near = np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty((rows, metrics))
        self._into = tuple(map(place, self._near))

    @property
    def amounts(self) -> NDArray[np.float32]:
        """(rows, slots, metrics)."""
        return self._part("amounts")

    @property
    def most(self) -> Floats:
        """As much at least as was added to each since this was set."""
        return self._part("most")

    @property
    def until(self) -> Integers:
        """A row's seconds are those before this."""
        return self._part("until")

    def _part(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] = self._block.view(self._layout)[name][:, 0]
        return found

    def _blank(self, rows: int) -> NDArray[np.uint64]:
        return np.zeros((rows, self._layout.itemsize // 8), np.uint64)

    def advance(self, oldest: int) -> None:
        """That is the first second to be remembered."""
        self.oldest = self._so.oldest = oldest

    def clear(self, rows: Integers) -> None:
        """They begin anew."""
        if (needed := _more(rows, len(self._block), self._most_rows)) > len(self._block):
            before, self._block = self._block, self._blank(needed)
            self._block[: len(before)] = before
            self._so.rows = place(self._block)
        self._block[rows] = 0

    def lay(self, seen: Looked, chosen: Integers, rows: Integers, amounts: Sequence[Amount]) -> None:
        """Adds each record's amounts to its row, evenly over its seconds from `oldest` on; by numpy."""
        columns = seen.columns
        first, last = seconds_of(columns, chosen)
        held = np.flatnonzero((rows >= 0) & (last >= self.oldest))
        self.turn(rows[held], last[held] + 1)
        since = np.maximum(first, self.oldest)
        since[held] = np.maximum(since[held], self.until[rows[held]] - self.slots)
        held = held[last[held] >= since[held]]
        rows, chosen = rows[held], chosen[held]
        spans = first[held], last[held], columns.begun[chosen], columns.ended[chosen]
        nth, second, share = shares_of(*spans, since[held])
        for each in amounts:
            values = values_of(columns, each)[chosen]
            metric = np.where(columns.out[chosen], each.metrics[1], each.metrics[0])
            at = rows[nth], second % self.slots, metric[nth]
            np.add.at(self.amounts, at, (values[nth] * share).astype(np.float32))
            self.most[rows, metric] = np.inf

    def turn(self, rows: Integers, until: Integers) -> None:
        """From now on they have seconds before these: new ones take the places of their oldest. By numpy."""
        which = np.unique(rows)
        had = self.until[which]
        np.maximum.at(self.until, rows, until)
        last = self.until[which, None] - 1
        second = last - (last - np.arange(self.slots)) % self.slots
        self.amounts[which] = np.where((second < had[:, None])[:, :, None], self.amounts[which], 0)

    def near(self, table: Keyed, rows: Integers, wanted: Wanted) -> Peaks | None:
        """As `Rates.near`, by C; None without a compiler."""
        if _LIBRARY is None:
            return None
        side, metric, _, window_s = wanted
        assert window_s + 4 <= self.slots <= 64, "folds.c has no room for more"
        so = layouts.Peak(side, metric, window_s, wanted.least)
        count = _LIBRARY.suimon_near(self.at, table.at, place(rows), len(rows), ctypes.byref(so), *self._into)
        order = self._near[0][:count].argsort()
        above, last, amounts = self._near
        return Peaks(above[order], last[order], amounts[order])


class Wanted(NamedTuple):
    """Rows that had records of a side in this turn, and may have an amount of a metric within a window."""

    side: int
    metric: int
    amount: float
    window_s: int

    @property
    def least(self) -> float:
        """What may be so much: what is summed up differs from sums by what floats are rounded."""
        return self.amount * (1.0 - 1e-9)


class Peaks(NamedTuple):
    """Arrays of one length, by row."""

    rows: Integers
    last: Integers
    """The last second of the window that has the most."""
    amounts: Floats
    """Of each metric, within that window: (rows, metrics)."""


class Adds(NamedTuple):
    """What a record adds to its row: hits of things in cells, and amounts."""

    hits: Sequence[tuple[Cells, Hash]] = ()
    rings: Rings | None = None
    amounts: Sequence[Amount] = ()


class Fold:
    """Which records a detector takes, by what key they have rows in a table, and what they add to those rows.

    It is made once: C is told where all is, and what it finds has a place that is kept.
    """

    def __init__(self, table: Keyed, choice: Choice, key: Hash, adds: Adds | None = None, known: bool = False) -> None:
        """With `known` it takes only records of keys that have rows, and others get none by it: of a table in which
        records of one key are of one port and protocol.
        """
        self._adds = hits, rings, amounts = adds or Adds()
        assert len(amounts) <= layouts.MOST_AMOUNTS, "folds.c has no room for more"
        self._table, self._choice, self._key, self._known = table, choice, key, known
        self._hits = (layouts.Hits * len(hits))(*(_hits(*each) for each in hits))
        parts = [(COUNTED.index(each.column), each.kinds, *each.metrics) for each in amounts]
        self._amounts = np.array(parts, np.int64)
        asked, marked = choice.wanted | choice.but, (_at(choice.own), _at(choice.peer))
        self._so = layouts.Fold(asked, choice.wanted, *marked, _recipe(key))
        self._so.table, self._so.known = table.at, known
        self._so.hit, self._so.hit_count = ctypes.addressof(self._hits), len(hits)
        self._so.amounts, self._so.amount_count = place(self._amounts), len(amounts)
        if rings is not None:
            self._so.ring = rings.at
        self._at = ctypes.addressof(self._so)
        self._room: Room | None = None
        self._number = -1

    def find(self, seen: Looked) -> tuple[Rows, Integers, Hashes]:
        """The rows, which from now on have had these records; which of the records have none; and the records' keys."""
        if _LIBRARY is not None and seen.room is not self._room:
            self._room, self._number = seen.room, seen.room.choice(self._choice, not self._known)
        if self._known and not len(self._table):
            none = np.empty(0, np.int64)
            return Rows(none, none, none, none), none, none.astype(np.uint64)
        if not self._known:
            self._table.turn += 1
        if _LIBRARY is None:
            return self._found(seen)
        lane, number = seen.room.lanes[self._known], self._number if self._number < seen.choices else -1
        if number < 0:
            seen.fill()
        _LIBRARY.suimon_find(self._at, seen.at, seen.count, self._table.turn, number, lane.at)
        return lane.found()

    def count(self, seen: Looked, found: Rows) -> None:
        """What the records that were just found add to their rows."""
        hits, rings, amounts = self._adds
        for cells, _ in hits:
            cells.move(seen.clock_s)
        if _LIBRARY is not None:
            _LIBRARY.suimon_count(self._at, seen.at, seen.room.lanes[self._known].at)
            return
        keys = hashes_of(seen.columns, self._key, found.chosen)
        for cells, thing in hits:
            cells.add(seen, found.chosen, found.of, hashes_of(seen.columns, thing, found.chosen, keys))
        if rings:
            rings.lay(seen, found.chosen, found.of, amounts)

    def _found(self, seen: Looked) -> tuple[Rows, Integers, Hashes]:
        chosen = chosen_of(seen.columns, self._choice)
        keys = hashes_of(seen.columns, self._key, chosen)
        if not self._known:
            return *self._table.rows(seen, chosen, keys), keys
        rows, none = self._table.find(keys), np.empty(0, np.int64)
        held = rows >= 0
        return Rows(chosen[held], rows[held], none, none), none, keys[held]


def exchanged(seen: Looked, row: int, out: bool, octets: bool) -> Exchanged | None:
    """Of the records that were just found those of a row and a side: with whom most. None without a compiler."""
    if _LIBRARY is None:
        return None
    lane = seen.room.lanes[0]
    _LIBRARY.suimon_exchanged(seen.at, lane.at, row, out, octets, lane.exchanged_at)
    return lane.exchanged


def _at(marked: Marks | None) -> int | None:
    return None if marked is None else place(marked)


def _recipe(made: Hash) -> layouts.Recipe:
    assert len(made.letters) < 8 and set(made.letters) <= set(LETTERS), "letters that folds.c knows"
    return layouts.Recipe(OF.index(made.of), made.letters.encode(), made.plus)


def _hits(cells: Cells, thing: Hash) -> layouts.Hits:
    return layouts.Hits(cells.at, _recipe(thing))


_FUNCTIONS: Final = {
    "suimon_look": Function((AT,), NUMBER),
    "suimon_fill": Function((AT, NUMBER)),
    "suimon_find": Function((AT, AT, NUMBER, NUMBER, NUMBER, AT)),
    "suimon_welcome": Function((AT, NUMBER, AT, ctypes.c_double, AT), NUMBER),
    "suimon_count": Function((AT, AT, AT)),
    "suimon_claim": Function((AT, NUMBER, *[AT] * 4, NUMBER, AT, NUMBER)),
    "suimon_exchanged": Function((AT, AT, NUMBER, NUMBER, NUMBER, AT)),
    "suimon_rows": Function((AT, AT, NUMBER, AT)),
    "suimon_clear": Function((AT, AT, NUMBER)),
    "suimon_hits": Function((AT, AT, AT, NUMBER, AT)),
    "suimon_tally": Function((AT, NUMBER, AT, NUMBER, NUMBER, AT, NUMBER, AT, AT), NUMBER),
    "suimon_near": Function((AT, AT, AT, NUMBER, *[AT] * 4), NUMBER),
}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, __file__, _FUNCTIONS)


_LIBRARY = _loaded(__file__.rpartition("/")[0])
