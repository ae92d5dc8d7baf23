"""How much time projects' policies may take of everybody's: one engine works at a time, and writers wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from suimon.model.policies import CLOUD

_BURST_S: Final = 5.0
_SHARE: Final = 0.05
"""Of all time, for one project."""
_MOST_PROJECTS: Final = 1000
"""Beyond that, those who took nothing lately are forgotten."""


class Purse:
    """For each project 5 s, refilled by 5 % of the time that passes. What was taken is known afterwards: the last one
    may take more than there is, as much as an engine's own limit lets it. The cloud's policies take what they need.

    `clock` says how time passes, `cpu` what the thread took of it: who is made to wait by others doesn't pay for it.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock, self._cpu = clock, cpu
        self._left: dict[str, tuple[float, float]] = {}
        """Seconds left, and when that was."""

    @contextmanager
    def spending(self, project_id: str) -> Iterator[None]:
        """What is done inside is taken from the project's."""
        begun = self._cpu()
        try:
            yield
        finally:
            if project_id != CLOUD:
                now = self._clock()
                if len(self._left) >= _MOST_PROJECTS:
                    self._left = {one: kept for one, kept in self._left.items() if self._left_s(one, now) < _BURST_S}
                self._left[project_id] = (self._left_s(project_id, now) - (self._cpu() - begun), now)

    def is_empty(self, project_id: str) -> bool:
        """Whether the project has to wait."""
        return self._left_s(project_id, self._clock()) <= 0

    def is_full(self, project_id: str) -> bool:
        """Whether it may try again what was too much. The cloud's are tried again when its clauses change."""
        return project_id != CLOUD and self._left_s(project_id, self._clock()) >= _BURST_S

    def full_in_s(self, project_id: str) -> float:
        """How long that takes."""
        return max(0.0, _BURST_S - self._left_s(project_id, self._clock())) / _SHARE

    def _left_s(self, project_id: str, now: float) -> float:
        left, at = self._left.get(project_id, (_BURST_S, now))
        return min(_BURST_S, left + (now - at) * _SHARE)
