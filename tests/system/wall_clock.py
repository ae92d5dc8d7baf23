"""Clocks on the wall that are set while programs run: one for each process of a lab's cloud, by its name.

`wall_clock.c` is preloaded. libfaketime (0.9.10) does more than that: whoever sleeps until a time of the monotonic
clock, as CPython does, fails there.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from suimon.lab.cloud import Cloud

SOURCE = Path(__file__).with_suffix(".c")


class SetClocks(Cloud):
    """All on time to begin with."""

    def ahead(self, name: str, seconds: float) -> None:
        """From now on the clock of the controller, or of the agent on that host, is ahead by so much."""
        with self._file(name).open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", round(seconds * 1e9)))

    def _start(self, name: str, args: list[str]) -> subprocess.Popen[bytes]:
        library, file = self._layout.directory / "wall_clock.so", self._file(name)
        if not library.exists():
            subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
        if not file.exists():
            file.write_bytes(bytes(8))
        return super()._start(name, ["env", f"LD_PRELOAD={library}", f"WALL_CLOCK={file}", *args])

    def _file(self, name: str) -> Path:
        return self._layout.directory / f"{name}.clock"
