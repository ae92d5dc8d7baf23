"""A bounded table of what is watched: a row for each key, the longest unused given to another when all are taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from suimon.detection.choices import Amount, Choice, Hash, Rows
from suimon.detection.distinct import Distinct
from suimon.detection.folds import Adds, Fold, Keyed
from suimon.detection.rates import Rates
from suimon.detection.seen import Floats, Hashes, Integers, Seen, address_text
from suimon.model.loops import distinct

_NEW_SHARE: Final = 4
"""At most a quarter of the rows goes to new keys at once: what floods a table with keys can't empty it in one step,
and what is seen in each step stays."""
_ONCE_BITS: Final = 18
_ONCE_S: Final = 10.0


class Part(Protocol):
    """Numbers kept for each row."""

    def forget(self, rows: Integers) -> None: ...


class Label(NamedTuple):
    """Who a row is about: its port, and the other side of the record that brought it in."""

    port_id: str
    project_id: str | None
    peer: str
    protocol: int
    own_l4: int
    peer_l4: int
    out: bool


class Table:
    """Keys to rows of `parts`. With `twice` a key gets a row when it is seen again within ten seconds, not at once:
    what comes with a new key every time, as from forged addresses, needs none.
    """

    def __init__(self, most: int, *parts: Part, twice: bool = False) -> None:
        self._most, self._parts = most, parts
        self._keyed = Keyed(most)
        self._holds = np.zeros(most, np.bool_)
        """Which rows have a key."""
        self._once_s = np.full(1 << _ONCE_BITS, -np.inf) if twice else None
        self._fresh = 0
        """The first of those never used yet."""
        self._labels: dict[int, Label] = {}
        self.scale = self._keyed.scale
        """The sampling that a row is counted by."""
        self.begun_s, self.ended_s = self._keyed.origins["begun"], self._keyed.ended_s
        """Of the row's first and last record: its own clock, which may be behind ours by what exporters take."""

    def __len__(self) -> int:
        return len(self._keyed)

    def fold(
        self,
        choice: Choice,
        key: Hash,
        *hits: tuple[Distinct, Hash],
        rates: tuple[Rates, Sequence[Amount]] | None = None,
        known: bool = False,
    ) -> Fold:
        """What `take` does with the records of a choice: their keys, what they hit, and their amounts."""
        cells = [(each.cells, thing) for each, thing in hits]
        adds = Adds(cells) if rates is None else Adds(cells, rates[0].rings, rates[1])
        return Fold(self._keyed, choice, key, adds, known)

    def take(self, seen: Seen, fold: Fold) -> Rows:
        """The fold's records are added to their rows. New keys get rows, those of most records first."""
        found, missed, keys = fold.find(seen.looked)
        if len(missed):
            found = self._welcome(seen, keys, found, missed)
        if len(found.chosen):
            fold.count(seen.looked, found)
        return found

    def find(self, keys: Hashes) -> Integers:
        """The row of each key, -1 for none."""
        return self._keyed.find(keys)

    def since(self, rows: Integers, window_s: float) -> Floats:
        """When the window of each row begins."""
        found: Floats = self.ended_s[rows] - window_s
        return found

    def label(self, row: int, seen: Seen) -> Label:
        """Of a row that a record of these was just counted in."""
        if found := self._labels.get(row):
            return found
        _, port, high, low, own, peer, protocol, out, version, _ = self._keyed.origins[row].tolist()
        tag = seen.tag_of(port)
        made = Label(tag.id, tag.project_id, address_text(version, high, low), protocol, own, peer, out)
        self._labels[row] = made
        return made

    def _seen_before(self, keys: Hashes, counts: Integers, clock_s: float) -> Integers:
        assert self._once_s is not None
        part = _part(keys)
        again = (counts > 1) | (self._once_s[part] >= clock_s - _ONCE_S)
        self._once_s[part] = clock_s
        return np.flatnonzero(again)

    def _welcome(self, seen: Seen, keys: Hashes, held: Rows, missed: Integers) -> Rows:
        """Rows for those keys of the records without any that are to have one."""
        groups = distinct(keys[missed], len(missed))
        assert groups is not None, "there are no more different keys than keys"
        first, which = groups
        first, counts = missed[first], np.bincount(which)
        new = np.arange(len(first))
        if self._once_s is not None:
            new = self._seen_before(keys[first], counts, seen.clock_s)
        if not len(new):
            return held
        new = new[np.argsort(-counts[new], kind="stable")][: max(1, self._most // _NEW_SHARE)]
        rows = self._vacate(len(new))
        chosen, of, own, where = held
        if (self._keyed.turns[rows] == self._keyed.turn).any():
            # Of records that flood the table even rows of their own were taken back.
            of[np.isin(of, rows)] = -1
            kept = ~np.isin(own, rows)
            own, where = own[kept], where[kept]
        self._claim(seen, rows, keys[first[new]], chosen[first[new]])
        given = np.full(len(first), -1)
        given[new] = rows
        of[missed] = given[which]
        got = missed[of[missed] >= 0]
        np.maximum.at(self.ended_s, of[got], seen.columns.ended[chosen[got]])
        return Rows(chosen, of, np.concatenate((own, rows)), np.concatenate((where, first[new])))

    def _claim(self, seen: Seen, rows: Integers, keys: Hashes, records: Integers) -> None:
        """Those rows are of these different keys now, begun by those records."""
        for part in self._parts:
            part.forget(rows)
        for row in self._labels.keys() & set(rows.tolist()):
            del self._labels[row]
        self._keyed.claim(seen.looked, rows, records, keys, np.flatnonzero(self._holds))

    def _vacate(self, count: int) -> Integers:
        """So many rows: those never used yet, then those longest unused."""
        rows = np.arange(self._fresh, min(self._fresh + count, self._most))
        self._fresh += len(rows)
        if more := count - len(rows):
            rows = np.concatenate((rows, np.argpartition(self._keyed.turns[: -len(rows) or None], more - 1)[:more]))
        self._holds[rows] = True
        return rows


def _part(keys: Hashes) -> Integers:
    return (keys >> np.uint64(64 - _ONCE_BITS)).astype(np.int64)
