"""What is freed stays with the process."""

import os
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import numpy as np
from suimon.telemetry.memory import keep_freed

def used():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(16 << 20, np.uint8) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    assert keep_freed()
used(), used()
print(used())
"""
_PAGES = 8 * (16 << 20) // os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("how", ["kept", "given back"])
def test_arrays_that_are_made_again_cost_no_page_faults(how: str) -> None:
    """Given back, each page is cleared by the kernel each time: else there were nothing to keep."""
    # Huge pages would be few faults, and cleared all the same.
    said = subprocess.run(
        [sys.executable, "-c", _FAULTS, how],
        env=os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (int(said.stdout) < _PAGES // 10) == (how == "kept")
