"""Runs detectors over what comes, each by itself: one that throws is begun anew, counted and named; others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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


class Engine(Generic[News]):
    """Detectors of one kind of news, each with the thresholds of its name. `faults` and `untold` are to be shown."""

    def __init__(self, makers: Mapping[str, Callable[[Any], Detector[News]]], thresholds: object) -> None:
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
