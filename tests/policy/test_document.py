"""A policy in a file: its description, its clauses, what is said of each, and where it is wrong."""

from __future__ import annotations

import pytest

from suimon.policy.document import Document, Written, is_fact, take_apart
from suimon.policy.errors import PolicyError
from suimon.policy.syntax import read

FILE = """\
# What it is for,
#   and more.

// Of both.
a(1)
a(2) a(3);

b(x) :-
  # inside

  a(x)   # behind
// of c

// of d
# and again
d(1)
"""


def test_clauses_and_what_is_said_of_them() -> None:
    found = take_apart(FILE)
    assert found.description == "What it is for, and more."
    assert [one.comment for one in found.clauses] == ["Of both."] * 3 + ["", "of d and again"]
    assert [one.text for one in found.clauses][:3] == ["a(1)", "a(2)", "a(3)"]
    assert found.clauses[3].text.startswith("b(x) :-") and found.clauses[3].text.endswith("a(x)")


@pytest.mark.parametrize("text, expected", [
    ("", Document("", ())),
    ("# only words", Document("only words", ())),
    ("# of a\na(1)", Document("", (Written("a(1)", "of a"),))),
    ("\n# of a\na(1)", Document("", (Written("a(1)", "of a"),))),
    ("a(1)\n# of b\nb(1)", Document("", (Written("a(1)"), Written("b(1)", "of b")))),
    ("/* a */ a(1)", Document("", (Written("a(1)"),))),
])  # fmt: skip
def test_short_files(text: str, expected: Document) -> None:
    assert take_apart(text) == expected


def test_what_needs_nothing_is_a_fact() -> None:
    assert [is_fact(statement) for statement in read("a(1) a(x) :- b(x) a(2) :- true")] == [True, False, False]


def test_it_says_where_in_the_file_it_is_wrong() -> None:
    with pytest.raises(PolicyError, match="line 3, column 3"):
        take_apart("# x\n\na(?)")
