"""What a month's incidents come to, in figures: a fold over the lines of their timelines.

Lines are only ever added, each with its time, so that a month that is over has the same figures whenever it is asked
for: what is said of its incidents later counts for the month in which it is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from suimon.model.incidents import Entry


class Spread(msgspec.Struct, frozen=True):
    """Of some durations, in seconds; None when there are none."""

    count: int = 0
    median_s: float | None = None
    longest_s: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`acts` are what rules and policies did, `approved` what people allowed."""

    findings: int = 0
    dry_runs: int = 0
    """That would have acted; and those that would have asked, and not have acted."""
    dry_asks: int = 0
    dry_refusals: int = 0
    refused: int = 0
    acts: int = 0
    ports: int = 0
    """That acts bound."""
    asked: int = 0
    approved: int = 0
    denied: int = 0
    unanswered: int = 0
    warnings: int = 0
    false_positives: int = 0
    breaker_openings: int = 0
    not_biting: int = 0
    """Incidents whose restriction was measured to have no effect."""
    to_find: Spread = Spread()
    """From when it began to when the controller heard of it. What was used too much of has no beginning."""
    to_act: Spread = Spread()
    """From when it began to the restriction, people's answers left out, and what was used too much of."""
    to_undo: Spread = Spread()
    """How long those were restricted who should not have been."""


def report(entries: Iterable[Entry]) -> Report:
    """Of these lines, all of one month."""
    lines = list(entries)
    by_kind = {kind: [line for line in lines if line.kind == kind] for kind in {line.kind for line in lines}}
    verdicts = [line.details.get("verdict") for line in by_kind.get("decision", ())]
    would = [line.details.get("would") for line in by_kind.get("decision", ())]
    answers = by_kind.get("answer", ())
    approved = {line.incident_id for line in answers if line.details.get("approved") is True}
    people = [line for line in answers if line.author != "suimon"]
    done = [*by_kind.get("restriction", ()), *by_kind.get("action", ())]
    acts = [line for line in done if _by_itself(line)]
    marks = [line for line in by_kind.get("mark", ()) if line.details.get("false_positive") is True]
    wrong = {line.incident_id for line in marks}
    idle = {line.incident_id for line in by_kind.get("verification", ()) if line.details.get("bites") is False}
    undone = [line for line in by_kind.get("release", ()) if line.incident_id in wrong]
    return Report(
        findings=sum(_by_itself(line) for line in by_kind.get("finding", ())),
        dry_runs=would.count("act"),
        dry_asks=would.count("ask"),
        dry_refusals=would.count("refuse"),
        refused=verdicts.count("refuse"),
        acts=len(acts),
        ports=sum(_whole(line.details.get("ports")) for line in acts),
        asked=verdicts.count("ask"),
        approved=len(approved),
        denied=sum(line.details.get("approved") is False for line in people),
        unanswered=len(answers) - len(people),
        warnings=len(by_kind.get("warning", ())),
        false_positives=len(wrong),
        breaker_openings=len(by_kind.get("breaker", ())),
        not_biting=len(idle),
        to_find=_spread(by_kind.get("finding", ()), "late_s"),
        to_act=_spread(acts, "took_s"),
        to_undo=_spread(undone, "restricted_s"),
    )


def _by_itself(line: Entry) -> bool:
    return line.author.startswith(("rule:", "policy:"))


def _spread(lines: Sequence[Entry], name: str) -> Spread:
    found = [float(value) for line in lines if isinstance(value := line.details.get(name), int | float)]
    return Spread(len(found), round(median(found), 3), max(found)) if found else Spread()


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
