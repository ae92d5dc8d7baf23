"""A month's figures are of what happened, whatever else timelines say."""

from datetime import UTC, datetime

from suimon.model.incidents import Entry, EntryKind
from suimon.model.report import Spread, report

AT = datetime(2026, 11, 5, tzinfo=UTC)


def line(incident_id: str, kind: EntryKind, author: str = "rule:spam", **details: object) -> Entry:
    return Entry(incident_id=incident_id, number=1, at=AT, kind=kind, author=author, words="", details=details)


def test_without_effect_are_incidents_and_no_other_alarms() -> None:
    told = report(
        [
            line("a", "verification", bites=True),
            line("b", "verification", bites=None),
            line("c", "verification", bites=False),
            line("c", "alarm"),
            line("c", "verification", bites=False),
            line("clock", "alarm"),
        ]
    )
    assert told.not_biting == 1


def test_what_has_no_beginning_has_no_times() -> None:
    told = report([line("a", "finding", late_s=2.0), line("b", "finding"), line("b", "restriction", ports=1)])
    assert (told.findings, told.acts, told.ports) == (2, 1, 1)
    assert told.to_find == Spread(1, 2.0, 2.0)
    assert told.to_act == Spread()
