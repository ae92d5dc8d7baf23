"""A switch that exists in memory: the target of an agent that has no Open vSwitch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from suimon.reconcile import Changes, Failure

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class MemoryTarget(Generic[K, V]):
    """A `reconcile.Target` that takes everything. `held` is what it holds, `changed` how many entries ever changed."""

    def __init__(self) -> None:
        self.held: dict[K, V] = {}
        self.changed = 0

    async def observe(self) -> Mapping[K, V]:
        return self.held

    async def apply(self, changes: Changes[K, V]) -> Mapping[K, Failure]:
        self.held.update(changes.set)
        for key in changes.delete:
            del self.held[key]
        self.changed += len(changes.set) + len(changes.delete)
        return {}
