"""Who computes in spare time is in an idle cgroup, with what it starts; and where none can be made, nothing changes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NO_SPARE_TIME = 75
IN_AND_OUT = """
import subprocess, sys
from pathlib import Path
from tests.spare import Spare

def where():
    return subprocess.check_output(["cat", "/proc/self/cgroup"], text=True)

spare, before = Spare(sys.argv[1]), where()
if not spare.enter():
    sys.exit(75)
assert spare.enter()
assert "suimon-spare" in where() and "suimon-spare" in Path("/proc/self/cgroup").read_text()
idle = spare._idle
assert (idle / "cpu.idle").read_text() == "1\\n"
Spare(sys.argv[1]).end()
assert (idle / "cpu.idle").read_text() == "0\\n"
goes_on = subprocess.Popen(["sleep", "60"])
spare.leave()
assert where() == before and idle.exists()
goes_on.kill()
goes_on.wait()
spare.leave()
spare.leave()
assert where() == before and not idle.exists()
"""
FORBIDDEN = """
import os
from pathlib import Path
from tests.spare import Spare

os.seteuid(65534)
before = Path("/proc/self/cgroup").read_text()
spare = Spare("nobody")
assert not spare.enter()
spare.leave()
spare.end()
assert Path("/proc/self/cgroup").read_text() == before
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_into_spare_time_and_out_of_it(tmp_path: Path) -> None:
    done = python("-c", IN_AND_OUT, tmp_path.name)
    if done.returncode == NO_SPARE_TIME:
        pytest.skip("no cgroup can be made here")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever isn't root can make none anyway")
def test_who_can_make_no_cgroup_has_no_spare_time() -> None:
    done = python("-c", FORBIDDEN)
    assert done.returncode == 0, done.stderr


def test_a_command_in_spare_time_ends_as_it_ends(tmp_path: Path) -> None:
    done = python("-m", "tests.spare", tmp_path.name, "sh", "-c", "cat /proc/self/cgroup; exit 3")
    if done.returncode == NO_SPARE_TIME:
        pytest.skip("no cgroup can be made here")
    assert (done.returncode, "suimon-spare" in done.stdout) == (3, True), done
