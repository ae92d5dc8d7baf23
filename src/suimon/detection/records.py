"""The detectors of flow records by name, and what feeds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from suimon.detection import brute_force, host_scan, mass_mail, port_scan, reflection, syn_flood, udp_flood
from suimon.detection.engine import Engine
from suimon.detection.room import Room
from suimon.detection.seen import Hashes, Seen, Tag, keys_of
from suimon.detection.thresholds import Thresholds
from suimon.model.findings import Finding
from suimon.model.records import Batch, turns

OF_RECORDS: Final = {
    "mass_mail": mass_mail.MassMail,
    "port_scan": port_scan.PortScan,
    "host_scan": host_scan.HostScan,
    "syn_flood": syn_flood.SynFlood,
    "udp_flood": udp_flood.UdpFlood,
    "reflection": reflection.Reflection,
    "brute_force": brute_force.BruteForce,
}


class Records:
    """Batches of records in, findings out. Small batches are gathered: a step costs about the same for few as for many.

    `tags` is the table that the records' `port` points into; it may be another one with every batch. The seed keeps
    guests from choosing addresses and ports that look alike to the counters; the same gives the same findings.
    """

    GATHER_S = 0.1
    """What comes by several sockets is one step; in each of them a batch has gathered."""
    MOST = 1 << 17

    def __init__(self, thresholds: Thresholds, seed: int) -> None:
        self.engine: Engine[Seen] = Engine(OF_RECORDS, thresholds)
        self._seed = seed
        self._tags: Sequence[Tag] = ()
        self._keys: Hashes = keys_of((), seed)
        self._waiting: list[Batch] = []
        self._count, self._since_s = 0, 0.0
        self._room = Room(seed)
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
        waiting, self._waiting, self._count = self._waiting, [], 0
        found: list[Finding] = []
        for batches in turns(waiting, self.MOST):
            seen = Seen(batches, self._tags, self._keys, now_s, self._room)
            self.skipped += seen.skipped
            found += self.engine.step(seen, now_s)
        return found
