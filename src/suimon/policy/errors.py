"""What a policy's writer can mend."""

from __future__ import annotations

from typing import NamedTuple

from suimon.model.errors import BadRequest


class Place(NamedTuple):
    """Where in a text: both count from 1."""

    line: int
    column: int


NOWHERE = Place(0, 0)


class PolicyError(BadRequest):
    """A text, or a question, that is refused: where, why, and often what to write instead.

    `message` says all of it, for people. `line` and `column` are those of the text that was given, or 0 where the
    fault has no place in it (an unknown policy's name).
    """

    default_kind = "PolicyError"

    def __init__(self, reason: str, place: Place = NOWHERE, hint: str = "") -> None:
        self.reason, self.hint = reason, hint
        self.line, self.column = place
        where = f"line {self.line}, column {self.column}: " if self.line else ""
        super().__init__(where + reason + (f" ({hint})" if hint else ""))


class TooMuch(BadRequest):
    """What follows from a change is more than the limits allow; the change was undone."""

    default_kind = "PolicyTooMuch"
