"""How long the switches waited for a turn on a processor: what is lost by that tells of this machine only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from suimon.lab.error import LabError
from suimon.lab.lab import Lab
from tests.chaos.streams import Way

_EVERY_S: Final = 0.05
_BACK_S: Final = 1.5
"""Its sockets hold packets for about half a second: what is lost now waited since before."""
_MUCH_S: Final = 0.3

Sample = tuple[float, float]
"""A time (CLOCK_MONOTONIC), and for how many seconds ovs-vswitchd had waited by then."""


class Turns:
    """Looks 20 times a second while it is `running`, at the main thread of each ovs-vswitchd (proc(5), schedstat)."""

    def __init__(self, lab: Lab) -> None:
        self.samples: dict[str, list[Sample]] = {host.name: [] for host in lab.layout.hosts}
        self._lab = lab
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        looking = threading.Thread(target=self._look)
        looking.start()
        try:
            yield
        finally:
            self._stop.set()
            looking.join(timeout=10)

    def _look(self) -> None:
        while not self._stop.wait(_EVERY_S):
            for host, samples in self.samples.items():
                with suppress(OSError, LabError):  # It was killed.
                    pid = self._lab.switch(host).vswitchd().pid
                    waited_ns = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
                    samples.append((time.monotonic(), waited_ns / 1e9))


def starved(samples: dict[str, list[Sample]], way: Way, at: float) -> bool:
    """Whether a switch on the way of a packet of that time had waited for long just then."""
    return any(waited_s(samples[host], at - _BACK_S, at + _EVERY_S) >= _MUCH_S for host in way.hosts)


def waited_s(samples: Sequence[Sample], begun: float, ended: float) -> float:
    """Between two times; a switch that was started anew in between waits anew."""
    inside = [waited for at, waited in samples if begun <= at <= ended]
    return sum(max(0.0, later - earlier) for earlier, later in pairwise(inside))
