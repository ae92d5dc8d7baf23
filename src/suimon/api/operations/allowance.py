"""How often tenants may ask what takes work to answer."""

import time
from collections.abc import Callable
from typing import Final

from suimon.model.errors import TooManyRequests

_BURST: Final = 10
_RATE_PER_S: Final = 1.0
_MOST_PROJECTS: Final = 1000


class Allowance:
    """A token bucket for each project."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}

    def spend(self, project: str, cost: int = 1) -> None:
        """Raises TooManyRequests."""
        now = self._clock()
        left, at = self._spent.get(project, (float(_BURST), now))
        left = min(float(_BURST), left + (now - at) * _RATE_PER_S)
        if left < cost:
            raise TooManyRequests("That many questions a minute are too many: each is worked out for whole hosts.")
        if len(self._spent) >= _MOST_PROJECTS:
            self._spent.clear()
        self._spent[project] = (left - cost, now)
