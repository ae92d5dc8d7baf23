"""Desired, actual, plan, apply: what should be, what is, the difference, and the one loop that makes them equal.

`plan` is pure. A `Target` is a piece of the world: it says what it holds (only what carries our mark) and takes
changes. `Reconciler` is the loop between: it is told whole owners, keeps a mirror of what the target holds, and tries
what was refused again later. It holds no state that matters: start it again at any moment and it observes and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, Never, Protocol, TypeVar

import msgspec
import structlog

log = structlog.get_logger()

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
O = TypeVar("O", bound=Hashable)  # noqa: E741 - the owner, beside K and V


class Changes(msgspec.Struct, Generic[K, V], frozen=True):
    """What turns actual into desired: entries to write (new or different) and keys to take away."""

    set: dict[K, V] = {}
    delete: tuple[K, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.set and not self.delete

    @property
    def keys(self) -> tuple[K, ...]:
        return (*self.set, *self.delete)


class Drift(msgspec.Struct, Generic[O, K], frozen=True):
    """How many of an owner's entries the world lost or changed by itself, and how many it has that nobody wrote.

    `owner` is None for what no owner wants; `example` is one of the keys.
    """

    owner: O | None
    example: K
    missing: int = 0
    changed: int = 0
    extra: int = 0


class Failure(msgspec.Struct, frozen=True):
    """Why something could not be made true, in words for people.

    `blamed` is False for what was only held back because something else in the same atomic batch was refused.
    """

    reason: str
    blamed: bool = True


class Target(Protocol[K, V]):
    """A piece of the world that can be read and written.

    Both raise (OSError, TimeoutError …) when the world cannot be reached or answers half; then nothing is known.
    """

    async def observe(self) -> Mapping[K, V]:
        """All that carries our mark, complete or an error."""

    async def apply(self, changes: Changes[K, V]) -> Mapping[K, Failure]:
        """Make it so, and say which keys did not come true; every key not mentioned did."""


def plan(desired: Mapping[K, V], actual: Mapping[K, V]) -> Changes[K, V]:
    """The changes that turn `actual` into `desired`; empty when they are equal.

    To plan for some keys only, pass both mappings restricted to them.
    """
    absent = object()
    return Changes(
        {key: value for key, value in desired.items() if actual.get(key, absent) != value},
        tuple(key for key in actual if key not in desired),
    )


class Config(msgspec.Struct, frozen=True):
    """Back-off of a refused owner: doubles from the first pause to the longest."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 60.0


class _Pause(msgspec.Struct, frozen=True):
    tries: int
    until: float


class Reconciler(Generic[O, K, V]):
    """Keeps a target equal to what the owners want of it.

    The unit is the owner: its entries are wanted, applied and retried as a whole, so a refused owner never stands half
    changed on an atomic target and never holds up the others. What no owner wants belongs to the owner None.
    `jitter` gives numbers in [0, 1); `clock` counts seconds.
    """

    def __init__(
        self,
        config: Config,
        target: Target[K, V],
        jitter: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._target, self._jitter, self._clock = config, target, jitter, clock
        self.actual: dict[K, V] = {}
        self.failures: dict[O | None, Failure] = {}
        self._desired: dict[O | None, Mapping[K, V]] = {}
        self._holder: dict[K, O | None] = {}
        self._held: defaultdict[O | None, set[K]] = defaultdict(set)
        self._dirty: set[O | None] = set()
        self._pauses: dict[O | None, _Pause] = {}
        self._writing: tuple[K, ...] = ()
        self._unsure: set[K] | None = None
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()

    def turn_to(self, target: Target[K, V]) -> None:
        """The same is wanted of another target, or of another life of it: to be observed before the next round."""
        self._target = target

    def want(self, owner: O, entries: Mapping[K, V]) -> None:
        """From now on `owner` wants exactly these entries; none means that all it has goes away."""
        if not entries and owner not in self._desired and owner not in self._held:
            return
        self._desired[owner] = entries
        self._pauses.pop(owner, None)
        self._mark_dirty({owner})

    async def settled(self) -> None:
        """Returns once everything wanted so far is true or stands in `failures`. The caller bounds the wait."""
        await self._settled.wait()

    async def observe(self) -> None:
        """Read the world afresh. Every owner is checked again, and what no owner wants goes away with the next round.

        So at a start, say what is wanted before observing.
        """
        self.actual = dict(await self._target.observe())
        wanted = {key: owner for owner, entries in self._desired.items() for key in entries}
        self._holder.clear()
        self._held.clear()
        for key in self.actual:
            self._hold(key, wanted.get(key))
        self._mark_dirty({None, *self._desired})

    async def check(self) -> list[Drift[O, K]]:
        """Read the world beside the rounds, and compare it with how they left it; the next round repairs what differs.

        What a round writes meanwhile is left to the next check. One check at a time, and only after `observe`.
        """
        assert self._unsure is None, "one check at a time"
        self._unsure = set(self._writing)
        try:
            found = await self._target.observe()
            return self._drifted(found, self._unsure)
        finally:
            self._unsure = None

    async def run(self, done: Callable[[], None] = lambda: None) -> Never:
        """Observe, then apply whatever is wanted, for ever, saying `done` after each round; ends with the target's
        exception when the world is lost.
        """
        await self.observe()
        while True:
            await self.round()
            done()
            await self._next_work()

    async def round(self) -> None:
        """Apply all that is due. Where an owner is blamed for a refusal, the others are applied without it at once."""
        now = self._clock()
        due = self._dirty | {owner for owner, pause in self._pauses.items() if pause.until <= now}
        if not due:
            self._settled.set()
            return
        self._dirty = set()
        batch = {owner: self._desired.get(owner, {}) for owner in due}
        while batch:
            wanting = {key: owner for owner, entries in batch.items() for key in entries}
            changes = self._planned(batch)
            failed = {} if changes.empty else await self._apply(changes)
            self._record(changes, failed, wanting)
            done = self._blamed(failed, wanting) if failed else dict.fromkeys(batch)
            for owner, failure in done.items():
                del batch[owner]
                self._finish(owner, failure)
        if not self._dirty:
            self._settled.set()

    async def _apply(self, changes: Changes[K, V]) -> Mapping[K, Failure]:
        self._writing = changes.keys
        if self._unsure is not None:
            self._unsure.update(changes.keys)
        try:
            return await self._target.apply(changes)
        finally:
            self._writing = ()

    def _drifted(self, found: Mapping[K, V], unsure: set[K]) -> list[Drift[O, K]]:
        """Take over what was found, so that the next round's plan is the repair, and mark the owners it concerns."""
        missing = [key for key in self.actual if key not in found and key not in unsure]
        extra = [key for key in found if key not in self.actual and key not in unsure]
        changed = [key for key, value in found.items() if key not in unsure and self.actual.get(key, value) != value]
        drifts: dict[O | None, Drift[O, K]] = {}
        for what, keys in (("missing", missing), ("changed", changed), ("extra", extra)):
            for key in keys:
                owner = self._holder.get(key)
                before = drifts.get(owner) or Drift(owner, key)
                drifts[owner] = msgspec.structs.replace(before, **{what: getattr(before, what) + 1})
        for key in missing:
            self._held[self._holder.pop(key)].discard(key)
            del self.actual[key]
        for key in extra:
            self._hold(key, None)
        self.actual.update((key, found[key]) for key in (*changed, *extra))
        if drifts:
            self._mark_dirty(drifts)
        return list(drifts.values())

    def _mark_dirty(self, owners: Iterable[O | None]) -> None:
        self._dirty.update(owners)
        self._settled.clear()
        self._wake.set()

    def _planned(self, batch: Mapping[O | None, Mapping[K, V]]) -> Changes[K, V]:
        """Whole owners: all that they want, against all that they have or that stands where they want something."""
        wanted = {key: value for entries in batch.values() for key, value in entries.items()}
        keys = set(wanted).union(*(self._held[owner] for owner in batch))
        return plan(wanted, {key: self.actual[key] for key in keys if key in self.actual})

    def _record(self, changes: Changes[K, V], failed: Mapping[K, Failure], wanting: Mapping[K, O | None]) -> None:
        for key, owner in wanting.items():
            if key not in failed and self._holder.get(key, self) != owner:
                self._hold(key, owner)
        self.actual.update((key, value) for key, value in changes.set.items() if key not in failed)
        for key in changes.delete:
            if key not in failed:
                self._held[self._holder.pop(key)].discard(key)
                del self.actual[key]

    def _hold(self, key: K, owner: O | None) -> None:
        """`owner` is now who has `key` in the world."""
        if key in self._holder:
            self._held[self._holder[key]].discard(key)
        self._holder[key] = owner
        self._held[owner].add(key)

    def _blamed(self, failed: Mapping[K, Failure], wanting: Mapping[K, O | None]) -> dict[O | None, Failure]:
        """Whose entries were refused; when the target blames nothing in particular, everyone whose entries failed."""
        some_blamed = any(failure.blamed for failure in failed.values())
        return {
            wanting.get(key, self._holder.get(key)): failure
            for key, failure in failed.items()
            if failure.blamed or not some_blamed
        }

    def _finish(self, owner: O | None, failure: Failure | None) -> None:
        """The round is over for `owner`: it came true, or is set aside until its next try."""
        if failure is None:
            self._pauses.pop(owner, None)
            self.failures.pop(owner, None)
            if owner not in self._dirty and not self._desired.get(owner):
                self._desired.pop(owner, None)
                self._held.pop(owner, None)
            return
        tries = self._pauses[owner].tries + 1 if owner in self._pauses else 1
        pause_s = min(self._config.longest_pause_s, self._config.first_pause_s * 2.0 ** min(tries - 1, 32))
        self._pauses[owner] = _Pause(tries, self._clock() + pause_s * (0.5 + self._jitter() / 2))
        if self.failures.get(owner) != failure:
            log.warning("owner_refused", owner=str(owner), reason=failure.reason)
        self.failures[owner] = failure

    async def _next_work(self) -> None:
        """Until somebody wants something, or the next pause is over."""
        due = min((pause.until for pause in self._pauses.values()), default=None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                await self._wake.wait()
        self._wake.clear()
