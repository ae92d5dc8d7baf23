"""Findings, incidents, the rulebook and the breaker through the operations API."""

from datetime import UTC, datetime

import msgspec

from suimon.model.actor import SYSTEM
from suimon.model.incidents import Incident
from suimon.resources.incidents import Line, open_incident
from suimon.resources.remedies import rule_actor
from tests.api.cloud import Answer, Cloud

RULES = """
rules:
  - name: spam
    detector: mass_mail
    for: {everyone: true}
    do: {kind: port_block, protocol: tcp, port_min: 25}
"""


def finding(**more: object) -> dict[str, object]:
    told: dict[str, object] = {
        "id": "f1", "detector": "mass_mail", "subject": {"kind": "port", "id": "p"}, "role": "source",
        "since_s": 1_800_000_000.0, "seen_s": 1_800_000_010.0, "confidence": 0.9, "numbers": {"sessions_per_s": 50},
        "words": "It sends mail.", "evidence": ["dst port 25"],
    }  # fmt: skip
    return {**told, **more}


def ask(cloud: Cloud, method: str, path: str, body: object = None, token: str = "") -> Answer:
    return cloud.call(method, f"/operations/v1/{path}", body, token or cloud.admin.token)


def incident(cloud: Cloud, project: str, **more: object) -> str:
    now = datetime(2026, 11, 5, tzinfo=UTC)
    made = Incident(
        id="i1", rule="spam", rulebook_version=1, finding_id="f1", subject_kind="port", subject_id="p",
        project_id=project, state="waiting", mode="approve", opened_at=now, weight=1, wanted={}, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    lines = [
        Line("finding", "It sends mail.", {"late_s": 12.5}),
        Line("decision", "ask: the rule asks", {"verdict": "ask"}),
    ]
    cloud.run(cloud.store.write(lambda tx: open_incident(tx, rule_actor(made.rule), made, lines), SYSTEM))
    return made.id


def test_findings_are_told_as_often_as_is_liked(cloud: Cloud) -> None:
    for seen_s in (1_800_000_010.0, 1_800_000_030.0, 1_800_000_020.0):
        assert ask(cloud, "POST", "findings", {"findings": [finding(seen_s=seen_s)]}).json == {"noted": 1}
    (shown,) = ask(cloud, "GET", "findings").json["findings"]
    assert (shown["seen_s"], shown["runbook"]) == (1_800_000_030.0, "docs/guide/runbooks.md#mass_mail")
    ask(cloud, "POST", "findings", {"findings": [finding(seen_s=1_800_000_040.0, ended=True)]})
    ask(cloud, "POST", "findings", {"findings": [finding(seen_s=1_800_000_050.0)]})
    (shown,) = ask(cloud, "GET", "findings").json["findings"]
    assert (shown["seen_s"], shown["ended"]) == (1_800_000_040.0, True)


def test_findings_that_cannot_be(cloud: Cloud) -> None:
    for wrong in (
        {"confidence": 1.1}, {"seen_s": 1.0}, {"since_s": -1.0}, {"seen_s": 1e18}, {"id": ""}, {"id": "x" * 65},
        {"role": "friend"}, {"numbers": {"x": "y"}}, {"words": "x" * 20_000},
    ):  # fmt: skip
        assert ask(cloud, "POST", "findings", {"findings": [finding(**wrong)]}).status == 400, wrong
    assert ask(cloud, "POST", "findings", {"findings": [finding()] * 1001}).status == 400
    assert ask(cloud, "GET", "findings").json == {"findings": []}


def test_tenants_tell_nothing_and_see_their_half(cloud: Cloud) -> None:
    alice = cloud.account("alice")
    told = ask(cloud, "POST", "findings", {"findings": [finding()]}, alice.token)
    assert told.status == 403
    ask(cloud, "POST", "findings", {"findings": [finding(project_id=alice.project_id), finding(id="f2")]})
    (shown,) = ask(cloud, "GET", "findings", token=alice.token).json["findings"]
    assert (shown["id"], "evidence" in shown) == ("f1", False)
    id_ = incident(cloud, alice.project_id)
    seen = ask(cloud, "GET", f"incidents/{id_}", token=alice.token).json["incident"]
    assert [line["kind"] for line in seen["timeline"]] == ["finding"]
    assert "wanted" not in seen and "author" not in seen["timeline"][0]
    assert len(ask(cloud, "GET", "incidents", token=alice.token).json["incidents"]) == 1
    for path in ("incidents/i1/approve", "incidents/i1/deny", "incidents/i1/mark", "breaker/open", "breaker/close"):
        assert ask(cloud, "POST", path, {"why": "why"}, alice.token).status == 403, path
    for path in ("report?month=2026-11", "rulebook", "rulebook/versions", "rulebook/versions/1", "breaker"):
        assert ask(cloud, "GET", path, token=alice.token).status == 403, path
    assert ask(cloud, "PUT", "rulebook", {"text": "", "why": "x"}, alice.token).status == 403


def test_who_an_incident_is_not_about_may_not_know_of_it(cloud: Cloud) -> None:
    alice, bert = cloud.account("alice"), cloud.account("bert")
    id_ = incident(cloud, alice.project_id)
    assert [ask(cloud, "GET", f"incidents/{id_}", token=who.token).status for who in (alice, bert)] == [200, 404]
    assert ask(cloud, "GET", "incidents/i2").status == 404
    assert ask(cloud, "POST", "incidents/i2/approve", {"why": "x"}).status == 404
    made = cloud.run(cloud.store.read(lambda tx: tx.get(Incident, id_)))
    hidden = msgspec.structs.replace(made, id="i3")
    lines = [Line("decision", "refuse: a port of the cloud's own", {"verdict": "refuse"})]
    cloud.run(cloud.store.write(lambda tx: open_incident(tx, SYSTEM, hidden, lines), SYSTEM))
    assert [ask(cloud, "GET", "incidents/i3", token=token).status for token in ("", alice.token)] == [200, 404]


def test_a_rulebook_has_versions(cloud: Cloud) -> None:
    assert ask(cloud, "GET", "rulebook").json["rulebook"]["version"] == 0
    assert ask(cloud, "PUT", "rulebook", {"text": RULES, "why": "spam"}).json["rulebook"]["version"] == 1
    acting = RULES + "    mode: act\n"
    assert ask(cloud, "PUT", "rulebook", {"text": acting, "why": "it was right", "after": 0}).status == 412
    made = ask(cloud, "PUT", "rulebook", {"text": acting, "why": "it was right", "after": 1}).json["rulebook"]
    assert "+    mode: act" in made["diff"].splitlines()
    wrong = ask(cloud, "PUT", "rulebook", {"text": acting.replace("0", "O").replace("25", "'x'"), "why": "x"})
    assert wrong.error[2].startswith("line 6, column "), wrong.error
    assert [one["why"] for one in ask(cloud, "GET", "rulebook/versions").json["versions"]] == ["it was right", "spam"]
    assert ask(cloud, "GET", "rulebook/versions/1").json["rulebook"]["text"] == RULES
    assert ask(cloud, "GET", "rulebook/versions/9").status == 404


def test_the_breaker_is_closed_by_a_person_with_a_reason(cloud: Cloud) -> None:
    assert ask(cloud, "GET", "breaker").json == {"breaker": {"is_open": False}}
    assert ask(cloud, "POST", "breaker/close", {"why": "x"}).status == 409
    assert ask(cloud, "POST", "breaker/open", {"why": "maintenance"}).json["breaker"]["is_open"]
    assert ask(cloud, "POST", "breaker/close", {"why": ""}).status == 400
    assert ask(cloud, "POST", "breaker/close", {"why": "done"}).json["breaker"]["why"] == "done"


def test_a_month_that_is_over_stays_as_it_was(cloud: Cloud) -> None:
    assert ask(cloud, "GET", "report?month=2026-13").status == 400
    id_ = incident(cloud, "red")
    now = datetime.now(UTC)
    told = ask(cloud, "GET", f"report?month={now:%Y-%m}").json["report"]
    assert not told["closed"]
    assert (told["figures"]["findings"], told["figures"]["asked"]) == (1, 1)
    assert told["rules"]["spam"]["to_find"] == {"count": 1, "median_s": 12.5, "longest_s": 12.5}
    before = ask(cloud, "GET", "report?month=2026-01").json
    assert before["report"]["closed"] and before["report"]["figures"]["findings"] == 0
    assert ask(cloud, "POST", f"incidents/{id_}/deny", {"why": "a newsletter"}).json["incident"]["state"] == "closed"
    assert ask(cloud, "GET", f"report?month={now:%Y-%m}").json["report"]["figures"]["denied"] == 1
    assert ask(cloud, "GET", "report?month=2026-01").json == before


def test_subscribers_are_their_projects(cloud: Cloud) -> None:
    alice = cloud.account("alice")
    for url in ("syslog+udp://192.0.2.1:514", "ftp://x", "https://", "https://u:p@x/", "nothing", "https://x:99999/"):
        assert ask(cloud, "POST", "subscribers", {"url": url}, alice.token).status == 400, url
    made = ask(cloud, "POST", "subscribers", {"url": "https://example.com/hook"}, alice.token)
    assert (made.status, len(made.json["subscriber"]["secret"])) == (201, 64)
    (own,) = ask(cloud, "GET", "subscribers", token=alice.token).json["subscribers"]
    assert "secret" not in own
    made = ask(cloud, "POST", "subscribers", {"url": "syslog+udp://192.0.2.1:514"}).json["subscriber"]
    assert ask(cloud, "DELETE", f"subscribers/{made['id']}", token=alice.token).status == 404
    assert ask(cloud, "DELETE", f"subscribers/{own['id']}", token=alice.token).status == 204
