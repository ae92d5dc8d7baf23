"""Bytes, packets and flows of each cloud port, from records: what they stand for after sampling, in steps of time."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from suimon.model.records import Batch, spread

STEP_S: Final = 10.0
DIRECTIONS: Final = 3
_COUNTED: Final = ("bytes", "packets", "flows")


class Account(msgspec.Struct, frozen=True):
    """One step. Arrays of [port, direction]; direction is 0 unknown, FROM_GUEST, TO_GUEST."""

    begun_s: float
    bytes: NDArray[np.float64]
    packets: NDArray[np.float64]
    flows: NDArray[np.float64]
    """Records, in the step in which they ended."""


class Accounts:
    """Of so many ports. `kept_s` is how late a record may come or how long it may be for its steps to be still open:
    what lies before that is added to the oldest open step, so that sums are kept."""

    def __init__(self, ports: int, kept_s: float = 120.0) -> None:
        self._ports, self._kept_s = ports, kept_s
        self._open: dict[int, dict[str, NDArray[np.float64]]] = {}
        self._closed = -(1 << 62)
        """Steps before this one are given away."""

    def add(self, batch: Batch) -> None:
        """Records of no port, or of one that is not ours, are passed over."""
        ours = np.flatnonzero((batch["port"] >= 0) & (batch["port"] < self._ports))
        if not len(ours):
            return
        if len(ours) < len(batch):
            batch = batch[ours]
        key = batch["port"] * DIRECTIONS + np.minimum(batch["direction"], DIRECTIONS - 1)
        stands_for = np.maximum(batch["sampling"], 1).astype(np.float64)
        begun, ended = (np.floor(batch[name] / STEP_S).astype(np.int64) for name in ("begun", "ended"))
        self._sum("flows", ended, key, np.ones(len(batch)))
        short, long = np.flatnonzero(begun == ended), np.flatnonzero(begun != ended)
        for name in ("bytes", "packets"):
            self._sum(name, begun[short], key[short], batch[name][short] * stands_for[short])
        if not len(long):
            return
        since_s, until_s = float(begun.min() - 1) * STEP_S, float(ended.max() + 1) * STEP_S
        for cuts in spread(batch[long], since_s, until_s, STEP_S):
            step, owner = np.floor(cuts.at_s / STEP_S + 0.5).astype(np.int64), long[cuts.record]
            for name, column in (("bytes", cuts.bytes), ("packets", cuts.packets)):
                self._sum(name, step, key[owner], column * stands_for[owner])

    def due(self, now_s: float) -> list[Account]:
        """The steps that are over for longer than `kept_s`, the oldest first; each is given once."""
        self._closed = max(self._closed, int((now_s - self._kept_s) // STEP_S))
        ready = sorted(step for step in self._open if step < self._closed)
        return [self._account(step) for step in ready]

    def _account(self, step: int) -> Account:
        sums = {name: column.reshape(-1, DIRECTIONS) for name, column in self._open.pop(step).items()}
        return Account(step * STEP_S, **sums)

    def _sum(self, name: str, step: NDArray[np.int64], key: NDArray[np.integer], amount: NDArray[np.float64]) -> None:
        step, size = np.maximum(step, self._closed), self._ports * DIRECTIONS
        while len(step):
            # Nearly all are in one or two steps.
            each = int(step[0])
            which = step == each
            if each not in self._open:
                self._open[each] = {counted: np.zeros(size) for counted in _COUNTED}
            # Costs as much as there are records, where bincount would cost as much as there are ports.
            np.add.at(self._open[each][name], key[which], amount[which])
            step, key, amount = step[~which], key[~which], amount[~which]
