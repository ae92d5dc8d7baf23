"""The journal of a lab: what it is about to make, written before it is made.

One JSON object a line, appended. A line may name a namespace that was never made (the lab died in between), never the
other way round; a torn last line is what was not begun. Processes come after the fact, when their pid is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["namespace", "process"]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A namespace by `name`; a process also by pid and start time (clock ticks since boot)."""

    kind: Kind
    name: str
    pid: int = 0
    started: int = 0


class Journal:
    """Appends to and reads back one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, entry: Entry) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")

    def entries(self) -> Iterator[Entry]:
        if not self._path.exists():
            return
        for line in self._path.read_bytes().splitlines():
            try:
                yield msgspec.json.decode(line, type=Entry)
            except msgspec.DecodeError:
                continue
