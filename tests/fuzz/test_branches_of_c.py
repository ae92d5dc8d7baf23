"""The decoders' C takes its branches, too: gcc counts them, as the interpreter does those of Python."""

from __future__ import annotations

import _ctypes
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from suimon.telemetry.flow import decoding
from suimon.telemetry.flow.datagrams import packed
from tests.compiled import built
from tests.fuzz.__main__ import LEAST_SHARE
from tests.fuzz.flows import flow_parsers
from tests.fuzz.mutation import mutated
from tests.telemetry.flow import parts, test_decoding

_INPUTS = 2000
"""To each decoder."""


def test_mutated_datagrams_take_the_branches_of_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = built(decoding, tmp_path, "-O0", "--coverage")
    monkeypatch.setattr(decoding, "_LIBRARY", library)
    for parser in flow_parsers():
        of = parts.collector()
        for number, raw in enumerate(mutated(parser.valid, _INPUTS, seed=7)):
            parts.take(of, raw, now_s=parts.NOW + number / 100)
        # Several at once, of two exporters, which follow each other in their sequences or don't.
        for at in range(len(parser.valid)):
            lot = [(raw, f"192.0.2.{1 + n % 2}") for n, raw in enumerate(parser.valid[at:])]
            of.take(packed(lot, parts.NOW + _INPUTS / 100))
    # Against wrong sizes, of which none comes from a datagram.
    for begin in (-1, 49):
        test_decoding.test_records_lie_within_the_bytes(begin)
    for begin, length in ((-1, 28), (0, 27), (1, 64), (1 << 40, 28)):
        test_decoding.test_samples_lie_within_the_bytes(begin, length)
    assert decoding.compiled()
    _ctypes.dlclose(library._handle)  # Then it writes what it counted.
    taken = _branches(next(tmp_path.glob("*.gcda")))
    untaken = Counter(line for line, count in taken if not count)
    assert 1 - untaken.total() / len(taken) >= LEAST_SHARE, f"lines of decoding.c: {sorted(untaken)}"


def _branches(counted: Path) -> list[tuple[int, int]]:
    """Of each branch its line, and how often it was taken."""
    asked = ["gcov", "--branch-probabilities", "--json-format", "--stdout", counted]
    told = json.loads(subprocess.run(asked, check=True, capture_output=True, cwd=counted.parent).stdout)
    lines = [line for file in told["files"] for line in file["lines"]]
    return [(line["line_number"], branch["count"]) for line in lines for branch in line["branches"]]
