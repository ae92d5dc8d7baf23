"""Runs detectors over what comes, each by itself: one that throws is begun anew, counted and named; others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from suimon.detection.episodes import Episodes
from suimon.detection.sightings import Sighting
from suimon.model.findings import Finding

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


class Tally(NamedTuple):
    """Of one detector since the start: how often it has thrown, and how many findings were too many at once."""

    faults: int
    untold: int


class Engine(Generic[News]):
    """Detectors of one kind of news, each with the thresholds of its name. `faults` and `tallies` are to be shown."""

    def __init__(self, makers: Mapping[str, Callable[[Any], Detector[News]]], thresholds: object) -> None:
        configs = {name: getattr(thresholds, name) for name in makers}
        self._makers = {name: (make, configs[name]) for name, make in makers.items() if configs[name].enabled}
        self._detectors = {name: make(config) for name, (make, config) in self._makers.items()}
        self._episodes = {name: Episodes(name, configs[name].quiet_s) for name in self._makers}
        self.faults: dict[str, Fault] = {}

    @property
    def tallies(self) -> dict[str, Tally]:
        """Of each detector that is run."""
        times = {name: fault.times for name, fault in self.faults.items()}
        return {name: Tally(times.get(name, 0), each.untold) for name, each in self._episodes.items()}

    def step(self, seen: News, now_s: float) -> list[Finding]:
        """What the detectors find in the news, and what has ended."""
        found: list[Finding] = []
        for name in self._detectors:
            sightings: list[Sighting] = []
            with self._isolated(name, now_s):
                sightings = list(self._detectors[name].step(seen, now_s))
            found += self._told(name, sightings, now_s)
        return found

    def tick(self, now_s: float) -> list[Finding]:
        """What has ended by now, when there is no news."""
        return [finding for name in self._episodes for finding in self._told(name, (), now_s)]

    def _told(self, name: str, sightings: Iterable[Sighting], now_s: float) -> list[Finding]:
        # What a sighting says of itself is the detector's, too.
        with self._isolated(name, now_s):
            return self._episodes[name].tell(sightings, now_s)
        return []

    @contextmanager
    def _isolated(self, name: str, now_s: float) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Whatever it is, it is that detector's, and must not stop the others.
            before = self.faults.get(name)
            self.faults[name] = Fault(before.times + 1 if before else 1, repr(error), now_s)
            make, config = self._makers[name]
            self._detectors[name] = make(config)
