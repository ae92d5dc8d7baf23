"""Slows down guessing: failed logins are counted per (address, user) and per address, in windows of a minute.

Per address *and* user, so that a stranger can't lock a user out by failing in his name from elsewhere. The counters are
bounded: the oldest are forgotten first, which needs more addresses than an attacker gains by it.
"""

from collections import OrderedDict

import msgspec

from suimon.model.errors import TooManyRequests


class Config(msgspec.Struct, frozen=True):
    per_user: int = 10
    per_address: int = 100
    window_s: float = 60.0
    remembered: int = 10_000


class Throttle:
    """Ask `admit` before a login is checked; tell `failed` when it was wrong. Times are monotonic seconds."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._failures: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def admit(self, address: str, user: str, now: float) -> None:
        """Raises TooManyRequests while a window has too many failures."""
        if self._full(address, user, now):
            raise TooManyRequests(f"Too many failed logins; try again in {self._config.window_s:.0f} seconds.")

    def failed(self, address: str, user: str, now: float) -> bool:
        """Counts a failure; whether it was the last that is let through for now."""
        for key in ((address, user), (address, "")):
            count = self._count(key, now)
            since = self._failures[key][0] if count else now
            self._failures[key] = (since, count + 1)
            self._failures.move_to_end(key)
        while len(self._failures) > self._config.remembered:
            self._failures.popitem(last=False)
        return self._full(address, user, now)

    def _full(self, address: str, user: str, now: float) -> bool:
        count, of_address = self._count((address, user), now), self._count((address, ""), now)
        return count >= self._config.per_user or of_address >= self._config.per_address

    def _count(self, key: tuple[str, str], now: float) -> int:
        since, count = self._failures.get(key, (now, 0))
        return count if now - since < self._config.window_s else 0
