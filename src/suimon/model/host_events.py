"""What happened on hosts besides what they were told: what drifted, who put it right, and what was removed."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

EventKind = Literal["drift", "repair", "removal"]
"""`drift`: something was not as it had been left; `repair`: what could not be put right at once is right now;
`removal`: of an orphan."""
KINDS: Final[tuple[EventKind, ...]] = ("drift", "repair", "removal")
AGENT: Final = "agent"
"""The author of what a host's agent did by itself."""


class HostEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a host's trail, in the words of its agent (`view.Drift`), which gave it its `id`. `at` is by our clock:
    a host's may be wrong. `author` is who put it right, or removed it.
    """

    host: str
    id: str
    at: datetime
    kind: EventKind
    author: str
    owner: str
    missing: int
    changed: int
    extra: int
    example: str
    repaired: bool
    reason: str
