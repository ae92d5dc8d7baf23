"""What policies' facts were: of each thing all versions of its rows, and the revisions at which they changed."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

import msgspec

GAP: Final = ""
"""The id of no row: from its revision on, and before its end, it isn't known what a table from elsewhere held."""


class FactVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that came of a thing, from one revision to before another; without that one they still do.

    `facts` is JSON: each row as source, table and values; of a `GAP`, why. `project_id` is whose thing it is, ""
    nobody's. Rows of tables from elsewhere are things of their own, whose kind says which table and columns.
    """

    kind: str
    id: str
    revision: int
    until_revision: int | None = None
    project_id: str = ""
    facts: str


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A revision at which facts changed, and when that was noted. `shape` is of the tables' columns.

    `gap` says why what was between the moment before and this one is known only as it was at the end of it.
    """

    revision: int
    at: datetime
    request_id: str = ""
    shape: str = ""
    gap: str = ""


class FactsNow(NamedTuple):
    """What the rows of a thing are since a revision; "": there are none any more."""

    kind: str
    id: str
    project_id: str
    facts: str
    revision: int
    request_id: str = ""
