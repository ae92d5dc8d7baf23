"""Sightings that follow each other are one finding: its id stays, `seen_s` grows, and it ends after quiet."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from suimon.detection.sightings import Sighting
from suimon.model.findings import Finding

_MOST: Final = 10_000
"""Findings that may go on at once; what is above is counted in `untold`."""

_Key = tuple[str, str, str, str]


class Episodes:
    """What goes on of one detector's kind. It is told when it begins, every `retell_s`, and when it has ended."""

    def __init__(self, detector: str, quiet_s: float, retell_s: float = 2.0) -> None:
        self._detector, self._quiet_s, self._retell_s = detector, quiet_s, retell_s
        self._going: dict[_Key, Finding] = {}
        self._told_s: dict[_Key, float] = {}
        self._heard_s: dict[_Key, float] = {}
        self.untold = 0

    def tell(self, sightings: Iterable[Sighting], now_s: float) -> list[Finding]:
        """What is new or due to be told again, then what has ended."""
        told = [finding for sighting in sightings if (finding := self._tell(sighting, now_s))]
        # By when it was heard, not by `seen_s`: an exporter may be a minute late with all that it says.
        for key in [key for key, heard_s in self._heard_s.items() if now_s - heard_s >= self._quiet_s]:
            told.append(msgspec.structs.replace(self._going.pop(key), ended=True))
            del self._told_s[key], self._heard_s[key]
        return told

    def _tell(self, sighting: Sighting, now_s: float) -> Finding | None:
        subject = sighting.subject
        key = (sighting.role, subject.kind, subject.id, sighting.about)
        before = self._going.get(key)
        if before is None and len(self._going) >= _MOST:
            self.untold += 1
            return None
        self._heard_s[key] = now_s
        since_s = before.since_s if before else sighting.since_s
        finding = self._going[key] = Finding(
            id=before.id if before else self._id(key, since_s),
            detector=self._detector,
            subject=subject,
            role=sighting.role,
            project_id=sighting.project_id,
            since_s=since_s,
            seen_s=max(sighting.seen_s, before.seen_s if before else since_s),
            confidence=sighting.confidence,
            numbers=sighting.numbers,
            words=sighting.words,
            evidence=sighting.evidence,
            suggestion=sighting.suggestion,
        )
        if before and now_s - self._told_s[key] < self._retell_s:
            return None
        self._told_s[key] = now_s
        return finding

    def _id(self, key: _Key, since_s: float) -> str:
        """The same for the same records, whoever reads them: a replay finds what was found."""
        return blake2b("/".join((self._detector, *key, f"{since_s:.0f}")).encode(), digest_size=16).hexdigest()
