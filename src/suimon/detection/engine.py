"""Runs detectors over what comes, each by itself: one that throws is begun anew, counted and named; others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from suimon.detection.episodes import Episodes
from suimon.detection.seen import Hashes, Seen, Tag, keys_of
from suimon.detection.sightings import Sighting
from suimon.detection.thresholds import OF_DROPS, OF_RECORDS, OF_SAMPLES, Thresholds
from suimon.model.findings import Finding
from suimon.model.records import Batch, joined
from suimon.model.samples import Dropped, Sample

News = TypeVar("News")
News_contra = TypeVar("News_contra", contravariant=True)


class Detector(Protocol[News_contra]):
    """A fold: takes what is new into its state, and tells what is above its thresholds now."""

    def step(self, seen: News_contra, now_s: float, /) -> Iterable[Sighting]: ...


class Fault(NamedTuple):
    """How often a detector has thrown, and what it threw last."""

    times: int
    last: str
    at_s: float


class Engine(Generic[News]):
    """Detectors of one kind of news. `faults` and `untold` are to be shown."""

    def __init__(self, makers: Mapping[str, Callable[[Any], Detector[News]]], thresholds: Thresholds) -> None:
        configs = {name: getattr(thresholds, name) for name in makers}
        self._makers = {name: (make, configs[name]) for name, make in makers.items() if configs[name].enabled}
        self._detectors = {name: make(config) for name, (make, config) in self._makers.items()}
        self._episodes = {name: Episodes(name, configs[name].quiet_s) for name in self._makers}
        self.faults: dict[str, Fault] = {}

    @property
    def untold(self) -> int:
        """Findings that were too many at once."""
        return sum(each.untold for each in self._episodes.values())

    def step(self, seen: News, now_s: float) -> list[Finding]:
        """What the detectors find in the news, and what has ended."""
        found: list[Finding] = []
        for name in self._detectors:
            try:
                sightings = list(self._detectors[name].step(seen, now_s))
            except Exception as error:  # Whatever it is, it is that detector's, and must not stop the others.
                before = self.faults.get(name)
                self.faults[name] = Fault(before.times + 1 if before else 1, repr(error), now_s)
                make, config = self._makers[name]
                self._detectors[name] = make(config)
                sightings = []
            found += self._episodes[name].tell(sightings, now_s)
        return found

    def tick(self, now_s: float) -> list[Finding]:
        """What has ended by now, when there is no news."""
        return [finding for each in self._episodes.values() for finding in each.tell((), now_s)]


class Records:
    """Batches of records in, findings out. Small batches are gathered: a step costs about the same for few as for many.

    `tags` is the table that the records' `port` points into; it may be another one with every batch. The seed keeps
    guests from choosing addresses and ports that look alike to the counters; the same gives the same findings.
    """

    GATHER_S = 0.25
    MOST = 1 << 16

    def __init__(self, thresholds: Thresholds, seed: int) -> None:
        self.engine: Engine[Seen] = Engine(OF_RECORDS, thresholds)
        self._seed = seed
        self._tags: Sequence[Tag] = ()
        self._keys: Hashes = keys_of((), seed)
        self._waiting: list[Batch] = []
        self._count, self._since_s = 0, 0.0
        self.skipped = 0
        """Records of no cloud port, of unknown direction, or of a time too far from now."""

    def take(self, batch: Batch, tags: Sequence[Tag], now_s: float) -> list[Finding]:
        """What is found with this batch, if it was time to look. `now_s` is when it came."""
        found = self.flush(now_s) if tags is not self._tags else []
        if tags is not self._tags:
            self._tags, self._keys = tags, keys_of(tags, self._seed)
        if not self._waiting:
            self._since_s = now_s
        self._waiting.append(batch)
        self._count += len(batch)
        if self._count >= self.MOST or now_s - self._since_s >= self.GATHER_S:
            found += self.flush(now_s)
        return found

    def look(self, now_s: float) -> list[Finding]:
        """Look at what was gathered for long enough; otherwise, at what has ended. To be called every second at least,
        and `GATHER_S` after `take`, or what came last waits for what comes next.
        """
        waits = self._count and now_s - self._since_s < 0.9 * self.GATHER_S  # Clocks and timers differ a little.
        return self.engine.tick(now_s) if waits else self.flush(now_s)

    def flush(self, now_s: float) -> list[Finding]:
        """Look at what was gathered; without any, at what has ended."""
        if not self._count:
            self._waiting.clear()
            return self.engine.tick(now_s)
        batch = joined(self._waiting)
        self._waiting, self._count = [], 0
        found: list[Finding] = []
        for start in range(0, len(batch), self.MOST):
            seen = Seen(batch[start : start + self.MOST], self._tags, self._keys, now_s, self._seed)
            self.skipped += seen.skipped
            found += self.engine.step(seen, now_s)
        return found


def of_samples(thresholds: Thresholds) -> Engine[Sequence[Sample]]:
    """What looks at the meters' samples."""
    return Engine(OF_SAMPLES, thresholds)


def of_drops(thresholds: Thresholds) -> Engine[Sequence[Dropped]]:
    """What looks at the switches' drop counters."""
    return Engine(OF_DROPS, thresholds)
