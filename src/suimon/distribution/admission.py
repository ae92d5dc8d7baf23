"""How many snapshots go out in a second: the rest are told when to come back, each at a time of its own."""

from __future__ import annotations


class Admission:
    """A token bucket that hands those it turns away consecutive slots, so that they don't all return at once."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at_s = 0.0
        self._last_slot_s = 0.0

    def ask(self, now_s: float) -> float:
        """0.0: come in. Otherwise the seconds to wait before asking again. `now_s` is a monotonic clock."""
        elapsed_s = now_s - self._filled_at_s
        self._tokens = min(float(self._burst), self._tokens + elapsed_s * self._rate_per_s)
        self._filled_at_s = now_s
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        self._last_slot_s = max(self._last_slot_s, now_s) + 1 / self._rate_per_s
        return self._last_slot_s - now_s
