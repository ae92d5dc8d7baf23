"""The numbers on disk: a journal of steps after a dump.

They are written before the flows that hold them. They don't wait for the disk: after a power cut the switch is as
empty as the file may be.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from suimon.agent.journal import MOST_BYTES, Journal
from suimon.pipeline.numbers import Dump, Numbers, Step

_DUMP: Final = msgspec.json.Decoder(Dump)
_STEPS: Final = msgspec.json.Decoder(tuple[Step, ...])


class NumberLog:
    """The numbers at `path`, written anew when the steps outgrow `most_bytes` and the numbers themselves."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._journal = Journal(path, _folded, most_bytes)

    def load(self) -> Numbers:
        """The last ones; none when there are none, or none to be trusted (those are then kept aside)."""
        return self._journal.load() or Numbers()

    def write(self, numbers: Numbers) -> None:
        """Keep what happened to them since the last time. Raises OSError; the next call then writes them whole."""
        steps = numbers.steps
        if steps:
            self._journal.write(
                [msgspec.json.encode(steps)], lambda: msgspec.json.encode(numbers.dump()), durable=False
            )
            numbers.forget_steps()


def _folded(bodies: Iterator[bytes]) -> Numbers:
    numbers = Numbers(_DUMP.decode(next(bodies)))
    for body in bodies:
        for step in _STEPS.decode(body):
            numbers.repeat(step)
    numbers.forget_steps()
    return numbers
