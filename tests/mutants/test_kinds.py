"""The mutation tool finds its places, and what it makes of them is a program that differs."""

import ast
from itertools import groupby
from pathlib import Path

import pytest

from tests.mutants.kinds import EQUIVALENT, KINDS

SRC = Path(__file__).resolve().parent.parent.parent / "src"


@pytest.mark.parametrize("kind", KINDS)
def test_each_mutant_is_a_program_of_its_own(kind: str) -> None:
    mutants = list(KINDS[kind].find(SRC))
    assert mutants, "the tool no longer finds its places in src/"
    assert len({mutant.name for mutant in mutants}) == len(mutants), "two mutants of one name"
    for path, edits in groupby(mutants, lambda mutant: mutant.path):
        whole = (SRC / path).read_bytes()
        meant = _meant(path, whole)
        for mutant in edits:
            broken = whole[: mutant.start] + mutant.text + whole[mutant.end :]
            assert _meant(path, broken) != meant, mutant.name


def _meant(path: Path, program: bytes) -> object:
    """Of C the text: only its operators are changed."""
    return ast.dump(ast.parse(program)) if path.suffix == ".py" else program


def test_the_named_equivalents_exist() -> None:
    assert EQUIVALENT.keys() <= {mutant.name for kind in KINDS.values() for mutant in kind.find(SRC)}
