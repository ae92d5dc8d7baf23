"""Sightings that follow each other are one finding: its id stays, `seen_s` grows, and it ends after quiet."""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from suimon.detection.sightings import Sighting
from suimon.model.findings import Finding

_MOST: Final = 10_000
"""Findings that may go on at once; what is above is counted in `untold`."""

_Key = tuple[str, str, str, str]


class _Going(msgspec.Struct):
    """Something that goes on."""

    id: str
    since_s: float
    seen_s: float
    heard_s: float
    told_s: float
    last: Sighting


class Episodes:
    """What goes on of one detector's kind. It is told when it begins, every `retell_s`, and when it has ended."""

    def __init__(self, detector: str, quiet_s: float, retell_s: float = 2.0) -> None:
        self._detector, self._quiet_s, self._retell_s = detector, quiet_s, retell_s
        self._going: dict[_Key, _Going] = {}
        self.untold = 0

    def tell(self, sightings: Iterable[Sighting], now_s: float) -> list[Finding]:
        """What is new or due to be told again, then what has ended."""
        told = [finding for sighting in sightings if (finding := self._tell(sighting, now_s))]
        # By when it was heard, not by `seen_s`: an exporter may be a minute late with all that it says.
        for key in [key for key, going in self._going.items() if now_s - going.heard_s >= self._quiet_s]:
            told.append(self._finding(self._going.pop(key), ended=True))
        return told

    def _tell(self, sighting: Sighting, now_s: float) -> Finding | None:
        key = (sighting.role, sighting.subject.kind, sighting.subject.id, sighting.about)
        going = self._going.get(key)
        if going is None:
            if len(self._going) >= _MOST:
                self.untold += 1
                return None
            since_s = sighting.since_s
            going = _Going(self._id(key, since_s), since_s, since_s, now_s, -math.inf, sighting)
            self._going[key] = going
        going.seen_s, going.heard_s, going.last = max(sighting.seen_s, going.seen_s), now_s, sighting
        if now_s - going.told_s < self._retell_s:
            return None
        going.told_s = now_s
        return self._finding(going)

    def _finding(self, going: _Going, ended: bool = False) -> Finding:
        more = going.last.more()
        return Finding(
            id=going.id,
            detector=self._detector,
            subject=going.last.subject,
            role=going.last.role,
            project_id=going.last.project_id,
            since_s=going.since_s,
            seen_s=going.seen_s,
            confidence=more.confidence,
            numbers=more.numbers,
            words=more.words,
            evidence=more.evidence,
            suggestion=more.suggestion,
            ended=ended,
        )

    def _id(self, key: _Key, since_s: float) -> str:
        """The same for the same records, whoever reads them: a replay finds what was found."""
        return blake2b("/".join((self._detector, *key, f"{since_s:.0f}")).encode(), digest_size=16).hexdigest()
