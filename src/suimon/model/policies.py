"""Policies as they are kept: clauses in Datalog, who changed what, and what was violated when.

A policy is a project's, and knows that project's things, or the cloud's (`project_id` ""), and knows all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec

Mode = Literal["draft", "staged", "enforced"]
Kind = Literal["nonrecursive", "action", "database", "recursive", "materialized", "z3"]
"""`action` describes actions, `database` has facts only, `recursive` (`materialized`, `z3` in Congress) may recurse."""
Acts = Literal["never", "ask", "act"]
"""What becomes of the actions that an enforced policy calls for: nothing, a person is asked, they are done."""
Outcome = Literal["denied", "would_deny"]
MODES: Final[tuple[Mode, ...]] = ("draft", "staged", "enforced")
OUTCOMES: Final[tuple[Outcome, ...]] = ("denied", "would_deny")
KINDS: Final[tuple[Kind, ...]] = ("nonrecursive", "action", "database", "recursive", "materialized", "z3")
VIOLATIONS: Final = "error"
"""The table of a policy whose rows are what is wrong."""
EXECUTE: Final = "execute["
"""How the tables begin whose rows are calls of actions: `execute[suimon:quarantine]`."""
CLOUD: Final = ""
"""Whose the cloud's own policies are."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A set of clauses. In `draft` it answers who asks, and nothing else comes of it; `staged` its violations are
    recorded, and what it would forbid or do is counted; `enforced` it forbids, if it is `proactive`, and `acts`. Only
    the cloud's policies act.
    """

    id: str
    project_id: str
    name: str
    kind: Kind = "nonrecursive"
    description: str = ""
    abbreviation: str = ""
    mode: Mode = "staged"
    proactive: bool = False
    acts: Acts = "ask"
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


class LibraryRule(msgspec.Struct, frozen=True, kw_only=True):
    """A clause that waits in the library."""

    rule: str
    name: str = ""
    comment: str = ""


class LibraryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy can be made of. Those that come with Suimon are in no store, and have their name as id."""

    id: str
    name: str
    kind: Kind = "nonrecursive"
    description: str = ""
    abbreviation: str = ""
    rules: tuple[LibraryRule, ...]

    @property
    def ready(self) -> bool:
        """It comes with Suimon."""
        return self.id == self.name


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


class Called(Violation, frozen=True, kw_only=True):
    """A call of an action, by a row of a policy's `execute[action(…)]`: `row` is its arguments.

    `decided` is how far the gate went with it: "" not yet looked at, else the mode in which it decided.
    """

    action: str
    decided: str = ""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A call of the API that a proactive policy refused, or staged would have refused.

    `project_id` is whose policy it is, `number` counts what was decided by that project's policies. `row` is what would
    have been wrong, as a clause would have it, `why` the clauses and facts that made it, `user_id` who asked.
    """

    project_id: str
    number: int = 0
    policy_id: str
    policy: str
    outcome: Outcome
    row: str
    clause: str
    why: str
    at: datetime
    user_id: str
    request_id: str


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How often a policy denied since it is in its mode."""

    policy_id: str
    since: datetime
    denied: int = 0
    would_deny: int = 0


class News(NamedTuple):
    """A violation, or with an `action` a call of it, that appeared or vanished, and the change that it follows from."""

    project_id: str
    policy: str
    row: tuple[str | int | float | bool | None, ...]
    appeared: bool
    revision: int
    request_id: str = ""
    why: str = ""
    action: str = ""
