"""A policy as it stands in a file: what it is for, then clauses and facts, each below what is said of it.

# What it is for: the comment that the file begins with, an empty line after it.

# Said of each of the two facts below, as no empty line is between them.
allowed(443)
allowed(80)

error(port) :- open(port), not allowed(port)
"""

from __future__ import annotations

from typing import NamedTuple

from suimon.policy.syntax import read
from suimon.policy.terms import Statement

_MARKS = ("#", "//")


class Written(NamedTuple):
    """A clause or fact, and the comment above it."""

    text: str
    comment: str = ""


class Document(NamedTuple):
    """A file, taken apart."""

    description: str
    clauses: tuple[Written, ...]


def take_apart(text: str) -> Document:
    """Raises PolicyError with the file's line and column."""
    lines = text.splitlines()
    clauses: list[Written] = []
    comment, ended = "", 0
    for statement in read(text):
        first = statement.place.line
        if first > ended + 1 or not clauses:
            comment = _said(lines[ended : first - 1][::-1])
        ended = first + statement.text.count("\n")
        clauses.append(Written(statement.text, comment))
    return Document(_description(lines), tuple(clauses))


def is_fact(statement: Statement) -> bool:
    """Whether nothing has to hold for it."""
    return statement.body is None


def _said(above: list[str]) -> str:
    """The comment that ends right above a clause; `above` is read upwards."""
    said: list[str] = []
    for line in above:
        if not (words := _words(line)):
            break
        said.insert(0, words)
    return " ".join(said)


def _description(lines: list[str]) -> str:
    said: list[str] = []
    for line in lines:
        if not (words := _words(line)):
            return " ".join(said) if not line.strip() else ""
        said.append(words)
    return " ".join(said)


def _words(line: str) -> str:
    """What a line says that is a comment and nothing else."""
    stripped = line.strip()
    return next((stripped.removeprefix(mark).strip() for mark in _MARKS if stripped.startswith(mark)), "")
