"""Quiet, among processes that run tests side by side: one has it, or any number of them don't need it."""

import fcntl
import os
from pathlib import Path


class Quiet:
    """Two locks, on folders that all of them have: whoever comes passes the first, and holds the second meanwhile.

    Who demands quiet holds the first, too: nobody else comes in, so that it has it when those who are in have left.
    """

    def __init__(self, root: Path) -> None:
        self._entry, self._stay = (os.open(folder, os.O_RDONLY) for folder in (root, root / "tests"))

    def demand(self) -> None:
        """Wait until no other is here, and let none in until `done`."""
        fcntl.flock(self._entry, fcntl.LOCK_EX)
        fcntl.flock(self._stay, fcntl.LOCK_EX)

    @property
    def demanded(self) -> bool:
        """Whether another has it, or waits for it."""
        try:
            fcntl.flock(self._entry, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._entry, fcntl.LOCK_UN)
        return False

    def forgo(self) -> None:
        """Be here beside others, until `done`."""
        fcntl.flock(self._entry, fcntl.LOCK_SH)
        fcntl.flock(self._stay, fcntl.LOCK_SH)
        fcntl.flock(self._entry, fcntl.LOCK_UN)

    def done(self) -> None:
        # Not only closed: a process that a test left behind may have them, too.
        for lock in (self._stay, self._entry):
            fcntl.flock(lock, fcntl.LOCK_UN)
