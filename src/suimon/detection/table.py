"""A bounded table of what is watched: a row for each key, the longest unused given to another when all are taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from suimon.detection.choices import Amount, Choice, Hash, Rows
from suimon.detection.distinct import Distinct
from suimon.detection.folds import Adds, Fold, Keyed
from suimon.detection.rates import Rates
from suimon.detection.seen import Floats, Hashes, Integers, Seen, address_text


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
        self._parts = parts
        self.keyed = Keyed(most, twice)
        self._labels: dict[int, tuple[int, Label]] = {}
        """With the key that the row had then."""
        self.scale = self.keyed.scale
        """The sampling that a row is counted by."""
        self.begun_s, self.ended_s = self.keyed.origins["begun"], self.keyed.ended_s
        """Of the row's first and last record: its own clock, which may be behind ours by what exporters take."""

    def __len__(self) -> int:
        return len(self.keyed)

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
        return Fold(self.keyed, choice, key, adds, known)

    def take(self, seen: Seen, fold: Fold) -> Rows:
        """The fold's records are added to their rows. New keys get rows, those of most records first."""
        found, missed, keys = fold.find(seen.looked)
        if len(missed):
            found, given = self.keyed.welcome(seen.looked, keys, found, missed)
            if len(given):
                self._forget(given)
        if len(found.chosen):
            fold.count(seen.looked, found)
        return found

    def find(self, keys: Hashes) -> Integers:
        """The row of each key, -1 for none."""
        return self.keyed.find(keys)

    def since(self, rows: Integers, window_s: float) -> Floats:
        """When the window of each row begins."""
        found: Floats = self.ended_s[rows] - window_s
        return found

    def label(self, row: int, seen: Seen) -> Label:
        """Of a row that a record of these was just counted in."""
        key = int(self.keyed.keys[row])
        if (found := self._labels.get(row)) and found[0] == key:
            return found[1]
        _, port, high, low, own, peer, protocol, out, version, _ = self.keyed.origins[row].tolist()
        tag = seen.tag_of(port)
        made = Label(tag.id, tag.project_id, address_text(version, high, low), protocol, own, peer, out)
        self._labels[row] = key, made
        return made

    def _forget(self, rows: Integers) -> None:
        """They are of other keys now."""
        for part in self._parts:
            part.forget(rows)
