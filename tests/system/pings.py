"""Pings while something happens, and how many of them were answered."""

import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.patience import patient


@dataclass
class Pings:
    """What ping(8) says in the end. The last one may still have been on its way."""

    sent: int = 0
    answered: int = 0

    @property
    def lost(self) -> int:
        return self.sent - self.answered


@contextmanager
def pinging(command: Sequence[str]) -> Iterator[Pings]:
    """From the first answer to this `ping` on; counted when the block has ended."""
    counted = Pings()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ping, ThreadPoolExecutor(1) as reading:
        assert ping.stdout is not None
        try:
            while "bytes from" not in ping.stdout.readline():
                assert ping.poll() is None
            # A pipe that nobody reads is full after a thousand answers, and ping waits.
            rest = reading.submit(ping.stdout.read)
            yield counted
        finally:
            ping.send_signal(signal.SIGINT)
        said = rest.result(timeout=patient(10))
    found = re.search(r"(\d+) packets transmitted, (\d+) received", said)
    assert found, said
    counted.sent, counted.answered = int(found[1]), int(found[2])
