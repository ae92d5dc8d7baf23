"""Detectors in a controller: what they find in samples and drops of its hosts is noted, as collectors' findings are."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Never

import structlog

from suimon.detection.counters import CounterThresholds, of_drops, of_samples
from suimon.detection.engine import Fault, Tally
from suimon.model.actor import SYSTEM
from suimon.model.errors import CallerError, Unavailable
from suimon.model.findings import Finding
from suimon.model.samples import Dropped, Sample
from suimon.resources.alarms import tell_detector
from suimon.resources.findings import MOST_AT_ONCE, note_findings
from suimon.store.store import Store
from suimon.store.tx import Tx

log = structlog.get_logger()

_RETRY_S: Final = 2.0


class Sampled:
    """`hear` takes what was metered just now (`Meters.listen`), `hear_drops` what was dropped; `run` notes what was
    found, and tells of detectors that threw, until cancelled.
    """

    def __init__(self, thresholds: CounterThresholds, store: Store) -> None:
        self._samples, self._drops = of_samples(thresholds), of_drops(thresholds)
        self._store = store
        self._found: dict[str, Finding] = {}
        self._news = asyncio.Event()
        self._untold = Counter[str]()
        self._failed: dict[str, Fault] = {}
        """What is to be told of detectors that threw."""
        self._faults: dict[str, Fault] = {}

    @property
    def tallies(self) -> dict[str, Tally]:
        """Of each detector here, since the start."""
        return {
            name: Tally(each.faults, each.untold + self._untold[name])
            for name, each in (self._samples.tallies | self._drops.tallies).items()
        }

    def hear(self, samples: Sequence[Sample]) -> None:
        now_s = time.time()
        # Samples come all the time; what was dropped is over when nothing more is heard of it.
        self._note([*self._samples.step(samples, now_s), *self._drops.tick(now_s)])

    def hear_drops(self, dropped: Sequence[Dropped]) -> None:
        self._note(self._drops.step(dropped, time.time()))

    def _note(self, findings: Sequence[Finding]) -> None:
        for found in findings:
            self._found[found.id] = found
            self._news.set()
        while len(self._found) > MOST_AT_ONCE:
            # Detectors say again what goes on.
            self._untold[self._found.pop(next(iter(self._found))).detector] += 1
        faults = self._samples.faults | self._drops.faults
        for name in [name for name, fault in faults.items() if fault != self._faults.get(name)]:
            self._faults[name] = self._failed[name] = faults[name]
            self._news.set()
            log.error("detector_failed", detector=name, times=faults[name].times, reason=faults[name].last)

    async def run(self) -> Never:
        while True:
            await self._news.wait()
            self._news.clear()
            (telling, failed), self._found, self._failed = (self._found, self._failed), {}, {}
            try:
                await self._store.write(lambda tx: _tell(tx, telling, failed), SYSTEM)  # noqa: B023
            except CallerError as error:
                log.warning("findings_not_noted", reason=error.message, count=len(telling))
                if isinstance(error, Unavailable):
                    self._found, self._failed = telling | self._found, failed | self._failed
                    await asyncio.sleep(_RETRY_S)
                    self._news.set()


def _tell(tx: Tx, found: Mapping[str, Finding], failed: Mapping[str, Fault]) -> None:
    note_findings(tx, SYSTEM, [*found.values()])
    for name, fault in failed.items():
        tell_detector(tx, name, ("controller", ""), fault.times, fault.last)
