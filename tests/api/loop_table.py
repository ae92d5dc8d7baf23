"""What `/operations/v1` tells and lets of findings, restrictions and incidents: a line for each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from suimon.model.actor import SYSTEM
from suimon.model.findings import Finding, Subject
from suimon.model.incidents import Incident, Subscriber
from suimon.model.things import Collector
from suimon.resources.findings import note_findings
from suimon.resources.incidents import Line, open_incident
from suimon.store.tx import Tx
from tests.api.personas import CANARY, LETTERS, Stage

OWNERS = "mrM"
"""Who belongs to red, by what red's members see of their own."""
WHY = {"why": "because"}
RULES = "rules: []"
ID = "{}"


class LoopCall(NamedTuple):
    """`let` get `status`, others of `refused` that status, the rest 403; `new` makes red's thing that is asked for."""

    method: str
    path: str
    let: str = "a"
    status: int = 200
    body: Callable[[Stage, str], Any] | None = None
    new: Callable[[Stage], str] | None = None
    refused: Mapping[str, int] = {}

    def expected(self, letter: str) -> int:
        if letter == "-":
            return 401
        return self.status if letter in self.let else self.refused.get(letter, 403)


def restriction(stage: Stage) -> str:
    """Of red's port, and its id."""
    told = stage.do("a", "POST", "/operations/v1/restrictions", a_restriction(stage, ""))
    assert told.status == 201, told.body
    return str(told.json["restriction"]["id"])


def a_restriction(stage: Stage, _id: str) -> dict[str, Any]:
    port = {"target_kind": "port", "target": stage.port(), "reason": CANARY, "duration_s": 60}
    return {"restriction": {"kind": "quarantine", **port}}


def finding(stage: Stage) -> str:
    made = a_finding(stage)
    stage.cloud.run(stage.cloud.store.write(lambda tx: note_findings(tx, SYSTEM, [made]), SYSTEM))
    return made.id


def a_finding(stage: Stage) -> Finding:
    return Finding(
        id=f"f{stage.number()}",
        detector="mass_mail",
        subject=Subject("port", "p"),
        role="source",
        project_id=stage.red,
        since_s=1_800_000_000.0,
        seen_s=1_800_000_010.0,
        confidence=0.9,
        numbers={},
        words=CANARY,
        evidence=(),
    )


def incident(stage: Stage) -> str:
    """One that waits for an answer."""
    wanted = {**a_restriction(stage, "")["restriction"], "finding_id": ""}
    made = Incident(
        id=f"i{stage.number()}", rule=CANARY, rulebook_version=1, finding_id=finding(stage), subject_kind="port",
        subject_id="p", project_id=stage.red, state="waiting", mode="approve", weight=1, wanted=wanted,
        opened_at=datetime(2026, 11, 5, tzinfo=UTC),
    )  # fmt: skip
    lines = [Line("finding", CANARY)]
    stage.cloud.run(stage.cloud.store.write(lambda tx: open_incident(tx, SYSTEM, made, lines), SYSTEM))
    return made.id


def subscriber(stage: Stage) -> str:
    """Red's only one: a project may have few."""
    made = Subscriber(
        id=f"s{stage.number()}", project_id=stage.red, url=f"https://example.com/{CANARY}", secret="s",
        made_at=datetime(2026, 1, 1, tzinfo=UTC), made_by="m",
    )  # fmt: skip

    def instead(tx: Tx) -> None:
        for each in tx.select(Subscriber, {"project_id": stage.red}):
            tx.delete(each)
        tx.insert(made)

    stage.cloud.run(stage.cloud.store.write(instead, SYSTEM))
    return made.id


def a_subscriber(_stage: Stage, _id: str) -> dict[str, object]:
    return {"url": "https://example.com/"}


def collector(stage: Stage) -> str:
    made = Collector(
        name=f"c{stage.number()}", url="http://127.0.0.1:9", key="k", credential_hash="h",
        joined_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    stage.cloud.run(stage.cloud.store.write(lambda tx: tx.insert(made), SYSTEM))
    return made.name


def _findings(stage: Stage, _id: str) -> dict[str, object]:
    return {"findings": [msgspec.to_builtins(a_finding(stage))]}


def _why(_stage: Stage, _id: str) -> dict[str, object]:
    return dict(WHY)


def _rulebook(_stage: Stage, _id: str) -> dict[str, object]:
    return {"text": RULES, **WHY}


UNSEEN = {letter: 404 for letter in LETTERS if letter not in OWNERS + "a"}
LOOP = [
    LoopCall("POST", "restrictions", status=201, body=a_restriction),
    LoopCall("GET", "restrictions/{}", OWNERS + "a", new=restriction, refused=UNSEEN),
    LoopCall("POST", "restrictions/{}/release", body=_why, new=restriction, refused=UNSEEN),
    LoopCall("POST", "restrictions/release", body=_why),
    LoopCall("POST", "findings", "as", body=_findings),
    LoopCall("GET", "incidents/{}", OWNERS + "a", new=incident, refused=UNSEEN),
    LoopCall("POST", "incidents/{}/approve", body=_why, new=incident),
    LoopCall("POST", "incidents/{}/deny", body=_why, new=incident),
    LoopCall("POST", "incidents/{}/mark", body=_why, new=incident),
    LoopCall("POST", "incidents/{}/undo", status=409, body=_why, new=incident),
    LoopCall("POST", "incidents/undo", body=_why),
    LoopCall("GET", "report?month=2026-01"),
    LoopCall("GET", "rulebook"),
    LoopCall("PUT", "rulebook", body=_rulebook),
    LoopCall("GET", "rulebook/versions"),
    LoopCall("GET", "rulebook/versions/{}", new=lambda _: "1"),
    LoopCall("GET", "breaker"),
    LoopCall("POST", "breaker/open", body=_why),
    LoopCall("POST", "breaker/close", body=_why),
    LoopCall("POST", "subscribers", "mMoa", 201, body=a_subscriber, new=subscriber),
    LoopCall("DELETE", "subscribers/{}", "mMa", 204, new=subscriber, refused=UNSEEN),
    LoopCall("GET", "collectors"),
    LoopCall("DELETE", "collectors/{}", status=204, new=collector),
    # Nothing meters, and nothing collects, in this cloud; whose numbers one gets is in test_usage and test_questions.
    LoopCall("GET", "usage", LETTERS, 503),
    LoopCall("GET", "usage/months", LETTERS, 503),
    LoopCall("GET", "usage/months/{}", LETTERS, 503, new=lambda _: "2026-10"),
    LoopCall("GET", "flows", LETTERS, 503),
]
LISTS = {"restrictions": restriction, "findings": finding, "incidents": incident, "subscribers": subscriber}
"""Everybody may list; red's things are in the lists of its own people and of operators."""
