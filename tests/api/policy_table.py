"""What `/policy/v1` tells and lets, of red's policies, the operator's data sources, the library: a line a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from suimon.enforcement.history import FactHistory, FactHistoryConfig
from suimon.model.actor import SYSTEM
from suimon.model.policies import Evaluation, News
from suimon.resources.evaluations import note_evaluations
from suimon.resources.violations import note_violations
from tests.api.personas import CANARY, LETTERS, Ids, Stage

OWNERS = "mrM"
"""Who belongs to red."""
WRITERS, READERS = "mMa", "mrMa"
UNSEEN = {"o": 404, "s": 404}
"""By those who don't see what is red's."""
NOWHERE = {letter: 404 for letter in LETTERS if letter != "a"}
"""What only operators' policies have is nowhere for others."""


class PolicyCall(NamedTuple):
    """`let` get `status`, others of `refused` that status, the rest 403; `new` makes what is asked for."""

    method: str
    path: str
    let: str = LETTERS
    status: int = 200
    body: Callable[[Stage, Ids], Any] | None = None
    new: Callable[[Stage], Ids] | None = None
    refused: Mapping[str, int] = {}

    def expected(self, letter: str) -> int:
        if letter == "-":
            return 401
        return self.status if letter in self.let else self.refused.get(letter, 403)


def ask(stage: Stage, letter: str, method: str, path: str, body: object = None) -> Any:
    told = stage.do(letter, method, f"/policy/v1/{path}", body)
    assert told.status < 300, told.body
    return told.json


def policy(stage: Stage) -> Ids:
    """Red's, by its id."""
    rules = [{"rule": f'error("{CANARY}")'}]
    body = {"name": f"p{stage.number()}", "description": CANARY, "rules": rules}
    return (str(ask(stage, "m", "POST", "policies", body)["id"]),)


def clause(stage: Stage) -> Ids:
    (made,) = policy(stage)
    return (made, str(ask(stage, "m", "GET", f"policies/{made}/rules")["results"][0]["id"]))


def of_cloud(stage: Stage) -> Ids:
    rules = [{"rule": f'error("{CANARY}")'}]
    return (str(ask(stage, "a", "POST", "policies", {"name": f"c{stage.number()}", "rules": rules})["id"]),)


def source(stage: Stage) -> Ids:
    """The operator's, with a row that is red's, and another."""
    name = f"s{stage.number()}"
    ask(stage, "a", "POST", "data-sources", {"name": name, "driver": "push"})
    rows = [{"project_id": stage.red, "word": CANARY}, {"project_id": "", "word": CANARY}]
    ask(stage, "a", "PUT", f"data-sources/{name}/tables/t/rows", rows)
    return (name,)


def in_library(stage: Stage) -> Ids:
    """The operator's, for everybody."""
    body = {"name": f"l{stage.number()}", "rules": [{"rule": "error(1)"}]}
    return (str(ask(stage, "a", "POST", "librarypolicies", body)["id"]),)


def violation(stage: Stage) -> Ids:
    news = News(stage.red, CANARY, (CANARY, stage.number()), True, 1, "req-1", CANARY)
    stage.cloud.run(stage.cloud.store.write(lambda tx: note_violations(tx, [news]), SYSTEM))
    found = ask(stage, "m", "GET", "violations")["violations"]
    return (str(next(one["id"] for one in found if one["row"] == list(news.row))),)


def evaluation(stage: Stage) -> Ids:
    made = Evaluation(
        project_id=stage.red, policy_id="", policy=CANARY, outcome="denied", row=CANARY, clause=CANARY, why=CANARY,
        at=datetime(2026, 1, 1, tzinfo=UTC), user_id="m", request_id="req-1",
    )  # fmt: skip
    stage.cloud.run(stage.cloud.store.write(lambda tx: note_evaluations(tx, [made]), SYSTEM))
    return ("req-1",)


def past(stage: Stage) -> Ids:
    """Of a port of red's."""
    made = stage.port()
    stage.cloud.run(FactHistory(FactHistoryConfig(), stage.cloud.store).round())
    return (made,)


def replayable(stage: Stage) -> Ids:
    """A policy of red's, the same each time: a project has so many at most."""
    past(stage)
    there = [one["id"] for one in ask(stage, "m", "GET", "policies")["results"] if one["name"] == "replayable"]
    body = {"name": "replayable", "rules": [{"rule": "error(x) :- neutronv2:ports(id=x)"}]}
    return (str(there[0] if there else ask(stage, "m", "POST", "policies", body)["id"]),)


def _a_policy(stage: Stage, _ids: Ids) -> dict[str, object]:
    return {"name": f"n{stage.number()}"}


def _a_library_policy(stage: Stage, _ids: Ids) -> dict[str, object]:
    return {"name": f"n{stage.number()}", "rules": [{"rule": "error(1)"}]}


def _a_rule(stage: Stage, _ids: Ids) -> dict[str, object]:
    return {"rule": f"p({stage.number()})"}


def _a_source(stage: Stage, _ids: Ids) -> dict[str, object]:
    return {"name": f"n{stage.number()}", "driver": "push"}


def _simulated(_stage: Stage, ids: Ids) -> dict[str, object]:
    return {"query": "error(x)", "sequence": "error+(1)", "action_policy": ids[0]}


def _executed(stage: Stage, ids: Ids) -> dict[str, object]:
    prefix = "" if ids == ("suimon",) else "suimon:"
    return {"name": f"{prefix}set_port_state", "args": {"positional": [stage.port(), False]}}


def _row(_stage: Stage, _ids: Ids) -> dict[str, object]:
    return {"project_id": "", "word": "w"}


def _span(_stage: Stage, _ids: Ids) -> dict[str, object]:
    return {"since": datetime.now(UTC).isoformat()}


CALLS = [
    PolicyCall("POST", "policies", "mMoa", 201, _a_policy),
    PolicyCall("POST", "policies?library_policy={}", "mMoa", 201, new=in_library),
    PolicyCall("GET", "policies/{}", READERS, new=policy, refused=UNSEEN),
    PolicyCall("GET", "policies/{}", "a", new=of_cloud, refused=NOWHERE),
    PolicyCall("PUT", "policies/{}", WRITERS, 200, lambda _, __: {"mode": "draft"}, policy, UNSEEN),
    PolicyCall("PUT", "policies/{}", "a", 200, lambda _, __: {"mode": "draft"}, of_cloud, NOWHERE),
    PolicyCall("PUT", "policies/{}", "a", 200, lambda _, __: {"acts": "ask"}, of_cloud, NOWHERE),
    PolicyCall("POST", "policies/{}?action=simulate", READERS, 200, _simulated, policy, UNSEEN),
    PolicyCall("POST", "policies/{}?action=execute", "a", 200, _executed, policy, UNSEEN),
    PolicyCall("POST", "policies/{}/replay", READERS, 200, _span, replayable, UNSEEN),
    PolicyCall("GET", "past/neutronv2/ports?at=2999-01-01", new=past),
    PolicyCall("GET", "past/keystone/users?at=2999-01-01", "a", new=past, refused=NOWHERE),
    PolicyCall("DELETE", "policies/{}", WRITERS, 200, new=policy, refused=UNSEEN),
    PolicyCall("DELETE", "policies/{}", "a", 200, new=of_cloud, refused=NOWHERE),
    PolicyCall("GET", "policies/{}/rules", READERS, new=policy, refused=UNSEEN),
    PolicyCall("POST", "policies/{}/rules", WRITERS, 201, _a_rule, policy, UNSEEN),
    PolicyCall("POST", "policies/{}/rules", "a", 201, _a_rule, of_cloud, NOWHERE),
    PolicyCall("GET", "policies/{}/rules/{}", READERS, new=clause, refused=UNSEEN),
    PolicyCall("DELETE", "policies/{}/rules/{}", WRITERS, new=clause, refused=UNSEEN),
    PolicyCall("GET", "policies/{}/tables", READERS, new=policy, refused=UNSEEN),
    PolicyCall("GET", "policies/{}/tables/error", READERS, new=policy, refused=UNSEEN),
    PolicyCall("GET", "policies/{}/tables/error/rows?trace=True", READERS, new=policy, refused=UNSEEN),
    PolicyCall("GET", "policies/{}/tables/error/rows", "a", new=of_cloud, refused=NOWHERE),
    PolicyCall("GET", "librarypolicies", new=in_library),
    PolicyCall("POST", "librarypolicies", "a", 201, _a_library_policy),
    PolicyCall("GET", "librarypolicies/{}", new=in_library),
    PolicyCall("PUT", "librarypolicies/{}", "a", 200, _a_library_policy, in_library),
    PolicyCall("DELETE", "librarypolicies/{}", "a", new=in_library),
    PolicyCall("GET", "data-sources"),
    PolicyCall("POST", "data-sources", "a", 201, _a_source),
    PolicyCall("GET", "data-sources/neutronv2"),
    PolicyCall("GET", "data-sources/keystone", "a", refused=NOWHERE),
    PolicyCall("DELETE", "data-sources/{}", "a", new=source),
    PolicyCall("POST", "data-sources/{}?action=execute", "a", 200, _executed, lambda _: ("suimon",)),
    PolicyCall("POST", "data-sources/{}/webhook", "a", 200, lambda _, __: {"u": [["w"]]}, source),
    PolicyCall("GET", "data-sources/neutronv2/schema"),
    PolicyCall("GET", "data-sources/neutronv2/status"),
    PolicyCall("GET", "data-sources/neutronv2/actions"),
    PolicyCall("GET", "data-sources/neutronv2/tables"),
    PolicyCall("GET", "data-sources/neutronv2/tables/ports"),
    PolicyCall("GET", "data-sources/neutronv2/tables/ports/spec"),
    PolicyCall("GET", "data-sources/neutronv2/tables/ports/rows", new=lambda stage: (stage.port(),)),
    PolicyCall("GET", "data-sources/{}/tables/t/rows", new=source),
    PolicyCall("GET", "data-sources/keystone/tables/users/rows", "a", refused=NOWHERE),
    PolicyCall("PUT", "data-sources/{}/tables/t/rows", "a", 200, lambda _, __: [["", "w"]], source),
    PolicyCall("POST", "data-sources/{}/tables/t/webhook", "a", 200, _row, source),
    PolicyCall("GET", "system/drivers"),
    PolicyCall("GET", "system/drivers/push"),
    PolicyCall("POST", "stop", "mMoa"),
    PolicyCall("GET", "violations/{}", READERS, new=violation, refused=UNSEEN),
]
LISTS: dict[str, Callable[[Stage], Ids]] = {
    "policies": policy,
    "violations": violation,
    "evaluations": evaluation,
    "history": policy,
    "calls": lambda _: ("nothing",),
}
"""Everybody may list; red's are in the lists of its own people and of operators."""
