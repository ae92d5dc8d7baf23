"""Threads that read structs for the first time at the same moment: in a process of its own, which may end of it."""

import subprocess
import sys

PROGRAM = """
import sys, threading
import msgspec
import suimon.cli.serve
from suimon.cli.structs import make_ready

def read():
    for struct in structs:
        given = dict.fromkeys(struct.__struct_encode_fields__)
        barrier.wait()
        try:
            msgspec.convert([*given.values()] if struct.__struct_config__.array_like else given, struct)
        except (TypeError, msgspec.ValidationError):
            pass

structs = sorted(make_ready(), key=str)
barrier, threads = threading.Barrier(3), [threading.Thread(target=read) for _ in range(3)]
sys.setswitchinterval(1e-6)
for each in threads:
    each.start()
for each in threads:
    each.join()
print(len(structs))
"""


def test_no_thread_meets_a_struct_that_another_has_half_read() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert int(ran.stdout) > 350
