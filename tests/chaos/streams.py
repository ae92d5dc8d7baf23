"""The streams between guests that nobody changes, and what became of their packets."""

from __future__ import annotations

import subprocess
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from suimon.lab import processes
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from tests.chaos import probe

_L4_PORT: Final = 9000
"""Of the first way."""


class Way(msgspec.Struct, frozen=True):
    """From `source` to `target`, by the gateway hosts `through`; `allowed` says whether anything may arrive. It sends
    to the address `to`, if that isn't the target's lease, and to `l4_port`, if that matters.
    """

    name: str
    source: Guest
    target: Guest
    pps: float
    allowed: bool = True
    through: frozenset[str] = frozenset()
    to: str = ""
    l4_port: int = 0

    @property
    def address(self) -> str:
        return self.to or self.target.lease["ip"].split("/")[0]

    @property
    def hosts(self) -> frozenset[str]:
        return self.through | {each.host for each in (self.source, self.target) if each.host}


class Gap(msgspec.Struct, frozen=True):
    """A fault that may cost packets of the ways it `touches`, from when until when (CLOCK_MONOTONIC)."""

    fault: str
    host: str
    begun: float
    ended: float
    tunnels_only: bool = False
    gateways_only: bool = False

    def touches(self, way: Way) -> bool:
        if (self.tunnels_only and len(way.hosts) == 1) or (self.gateways_only and not way.through):
            return False
        return self.host in way.hosts


class Outcome(msgspec.Struct, frozen=True):
    """What became of a way's packets: when each lost one was sent."""

    way: Way
    sent: int
    received: int
    lost_at: tuple[float, ...]

    def unexplained(self, gaps: Sequence[Gap]) -> list[float]:
        """The lost ones that fall in no declared gap."""
        mine = [gap for gap in gaps if gap.touches(self.way)]
        return [at for at in self.lost_at if not any(gap.begun <= at <= gap.ended for gap in mine)]

    def widths_ms(self, gaps: Sequence[Gap]) -> list[tuple[Gap, int, float]]:
        """By gap that cost something: how many packets, and from the first to the last of them."""
        found = []
        for gap in gaps:
            inside = [at for at in self.lost_at if gap.touches(self.way) and gap.begun <= at <= gap.ended]
            if inside:
                found.append((gap, len(inside), (inside[-1] - inside[0]) * 1000))
        return found


class Streams:
    """Runs all ways at once; `outcomes` after the block."""

    def __init__(self, lab: Lab, ways: Sequence[Way], directory: Path) -> None:
        self._lab, self._ways, self._directory = lab, ways, directory
        self._env = processes.environment(lab.layout.directory)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Senders end first, receivers when what was under way has come."""
        with ExitStack() as stack:
            for number, way in enumerate(self._ways):
                l4_port = str(way.l4_port or _L4_PORT + number)
                receiver = self._start(way.target, "receive", l4_port, str(self._file(number, "received")))
                stack.callback(_end, receiver)
                assert receiver.stdout is not None
                receiver.stdout.readline()
            with ExitStack() as senders:
                for number, way in enumerate(self._ways):
                    l4_port = str(way.l4_port or _L4_PORT + number)
                    to = [way.address, l4_port, str(way.pps), str(self._file(number, "sent"))]
                    senders.callback(_end, self._start(way.source, "send", *to))
                yield

    def outcomes(self) -> list[Outcome]:
        return [self._outcome(number, way) for number, way in enumerate(self._ways)]

    def _outcome(self, number: int, way: Way) -> Outcome:
        sent, received = array("d"), array("Q")
        sent.frombytes(self._file(number, "sent").read_bytes())
        received.frombytes(self._file(number, "received").read_bytes())
        came = set(received)
        lost = tuple(at for count, at in enumerate(sent) if count not in came)
        return Outcome(way, len(sent), len(came), lost)

    def _start(self, guest: Guest, *args: str) -> subprocess.Popen[str]:
        inside = ["ip", "netns", "exec", guest.namespace, "nice", "-n", "-5", sys.executable, "-I", probe.__file__]
        return subprocess.Popen([*inside, *args], stdout=subprocess.PIPE, text=True, env=self._env)

    def _file(self, number: int, what: str) -> Path:
        return self._directory / f"{number}.{what}"


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    child.communicate(timeout=60)
