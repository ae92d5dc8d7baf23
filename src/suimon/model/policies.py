"""Policies as they are kept: clauses in Datalog, who changed what, and what was violated when.

A policy is a project's, and knows that project's things, or the cloud's (`project_id` ""), and knows all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec

Mode = Literal["draft", "staged", "enforced"]
Kind = Literal["nonrecursive", "action", "database", "materialized", "z3"]
"""As Congress has them. `action` describes actions, the others differ in name only."""
MODES: Final[tuple[Mode, ...]] = ("draft", "staged", "enforced")
KINDS: Final[tuple[Kind, ...]] = ("nonrecursive", "action", "database", "materialized", "z3")
VIOLATIONS: Final = "error"
"""The table of a policy whose rows are what is wrong."""
CLOUD: Final = ""
"""Whose the cloud's own policies are."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A set of clauses. In `draft` it answers who asks, and nothing else comes of it; `staged` its violations are
    recorded and what it would forbid is counted; `enforced` it forbids, if it is `proactive`.
    """

    id: str
    project_id: str
    name: str
    kind: Kind = "nonrecursive"
    description: str = ""
    abbreviation: str = ""
    mode: Mode = "staged"
    proactive: bool = False
    made_at: datetime
    author: str


class Clause(msgspec.Struct, frozen=True, kw_only=True):
    """A rule or fact of a policy, as it was written."""

    id: str
    policy_id: str
    name: str = ""
    comment: str = ""
    text: str
    made_at: datetime
    author: str


class PolicyChange(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed what of a policy; `diff` has a line for each clause that came (`+`) or went (`-`)."""

    id: str
    project_id: str
    policy: str
    at: datetime
    author: str
    words: str
    diff: str = ""


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a policy's `error`, from the change that made it to the change that ended it.

    The revisions are the change log's; `request_id` is that of the call that made it. `row` is JSON, `why` the clauses
    and facts that made it. `digest` is of whose violation it is and of what, for finding it.
    """

    id: str
    digest: str
    project_id: str
    policy: str
    row: str
    why: str = ""
    appeared_at: datetime
    appeared_revision: int
    request_id: str = ""
    vanished_at: datetime | None = None
    vanished_revision: int | None = None


class News(NamedTuple):
    """A violation that appeared or vanished, and the change that it follows from."""

    project_id: str
    policy: str
    row: tuple[str | int | float | bool | None, ...]
    appeared: bool
    revision: int
    request_id: str = ""
    why: str = ""
