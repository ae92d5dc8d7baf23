"""Spare time: what only computes gets of the processors what nobody else wants, and so disturbs nobody.

Neither a nice value nor SCHED_IDLE does it: where each session is a group of its own (sched(7), "The autogroup
feature"), its share is the group's, and a lab's processes are sessions of their own. A cgroup that is idle stands
behind all others (cpu.idle, Linux 5.15).
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_IDLE: Final = "cpu.idle"


class Spare:
    """Where this process computes: in its own cgroup, or in the idle one that those of one `name` share."""

    def __init__(self, name: str) -> None:
        self._name = f"suimon-spare-{name}"
        self._home: Path | None = None
        self._idle: Path | None = None

    def enter(self) -> bool:
        """This process, and what it starts from now on. False where no cgroup can be made: then nothing changed."""
        if self._home:
            return True
        try:
            root, own = _of_processors()
            idle = root / self._name
            idle.mkdir(exist_ok=True)
            try:
                (idle / _IDLE).write_text("1")
                _move(idle)
            except OSError:
                idle.rmdir()
                raise
        except OSError:
            return False
        self._home, self._idle = root / own, idle
        return True

    def leave(self) -> None:
        """Back to where it was, if it isn't there. The last one removes the cgroup; where something goes on that was
        started in it, when it is asked again.
        """
        if self._home:
            _move(self._home)
            self._home = None
        if self._idle:
            with suppress(OSError):
                self._idle.rmdir()
                self._idle = None

    def end(self) -> None:
        """Whoever is in spare time computes like anybody else from now on, and needn't leave first."""
        with suppress(OSError):
            root, _ = _of_processors()
            (root / self._name / _IDLE).write_text("0")


def _move(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _of_processors() -> tuple[Path, str]:
    """Where the hierarchy is that shares out processors, and this process's own group in it; cgroups(7), of both
    versions. Raises FileNotFoundError.
    """
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(where), _own("cpu")
        if kind == "cgroup2" and "cpu" in Path(where, "cgroup.subtree_control").read_text().split():
            return Path(where), _own("")
    raise FileNotFoundError("no cgroups share out the processors")


def _own(controller: str) -> str:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.lstrip("/")
    raise FileNotFoundError("a process is in no cgroup")


def main(name: str, *command: str) -> int:
    """Run a command in spare time. Its exit code, or 75 (EX_TEMPFAIL of sysexits.h) where there is none to be had."""
    spare = Spare(name)
    if not spare.enter():
        return 75
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        spare.leave()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
