"""How many snapshots go out in a second: the rest are told when to come back, each at a time of its own."""

from __future__ import annotations


class Admission:
    """A token bucket that hands those it turns away consecutive slots, so that they don't all return at once.

    A host has one slot, however often it asks, and nothing for `pause_s` after it came in: it can't ask the others out.
    """

    def __init__(self, rate_per_s: float, burst: int, pause_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._pause_s = pause_s
        self._not_before_s: dict[str, float] = {}
        self._tokens = float(burst)
        self._filled_at_s = 0.0
        self._last_slot_s = 0.0

    def ask(self, host: str, now_s: float) -> float:
        """0.0: come in. Otherwise the seconds to wait before asking again. `now_s` is a monotonic clock."""
        if (not_before_s := self._not_before_s.get(host, now_s)) > now_s:
            return not_before_s - now_s
        elapsed_s = now_s - self._filled_at_s
        self._tokens = min(float(self._burst), self._tokens + elapsed_s * self._rate_per_s)
        self._filled_at_s = now_s
        if self._tokens >= 1:
            self._tokens -= 1
            self._not_before_s[host] = now_s + self._pause_s
            return 0.0
        self._last_slot_s = max(self._last_slot_s, now_s) + 1 / self._rate_per_s
        self._not_before_s[host] = self._last_slot_s
        return self._last_slot_s - now_s
