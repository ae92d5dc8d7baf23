"""Congress's API, and what is ours beside it, over HTTP."""

from __future__ import annotations

import pytest

from suimon.model.actor import SYSTEM
from suimon.model.policies import News
from suimon.resources.violations import note_violations
from tests.api.cloud import Answer, Cloud


def ask(cloud: Cloud, method: str, path: str, body: object = None, token: str = "") -> Answer:
    return cloud.call(method, f"/policy/v1/{path}", body, token or cloud.admin.token)


@pytest.fixture
def policed(cloud: Cloud) -> Cloud:
    cloud.store.guard(cloud.engines.check)
    return cloud


def test_a_policy_its_rules_and_what_they_conclude(policed: Cloud) -> None:
    made = ask(policed, "POST", "policies", {"name": "p", "description": "d", "kind": None, "abbreviation": None})
    assert (made.status, made.json["kind"], made.json["mode"]) == (201, "nonrecursive", "staged")
    assert ask(policed, "POST", "policies", {"name": "p"}).status == 409
    rule = ask(policed, "POST", "policies/p/rules", {"rule": "q(x) :- r(x, _)", "name": "first"})
    assert (rule.status, rule.json["name"], rule.json["comment"]) == (201, "first", None)
    for fact in ('r("a", -1)', "r(true, null)"):
        assert ask(policed, "POST", "policies/p/rules", {"rule": fact}).status == 201
    assert ask(policed, "GET", "policies/p/tables").json == {"results": [{"id": "q"}, {"id": "r"}]}
    rows = ask(policed, "GET", "policies/p/tables/q/rows?trace=True").json
    assert sorted(map(str, rows["results"])) == ["{'data': ['a']}", "{'data': [True]}"]
    assert 'q("a")    by q(x) :- r(x, _)' in rows["trace"]
    assert ask(policed, "GET", "policies/p/tables/none/rows").status == 404
    by_id = ask(policed, "GET", f"policies/{made.json['id']}/rules/{rule.json['id']}")
    assert by_id.json["rule"] == "q(x) :- r(x, _)"
    assert ask(policed, "DELETE", f"policies/p/rules/{rule.json['id']}").status == 200
    assert ask(policed, "GET", "policies/p/tables").json == {"results": [{"id": "r"}]}
    assert ask(policed, "DELETE", "policies/p").status == 200
    assert ask(policed, "GET", "policies/p").status == 404


def test_what_would_be(policed: Cloud) -> None:
    for name, kind in (("p", "nonrecursive"), ("a", "action")):
        assert ask(policed, "POST", "policies", {"name": name, "kind": kind}).status == 201
    body = {"query": "q(x)", "sequence": "q+(1) q+(2)", "action_policy": "a"}
    assert ask(policed, "POST", "policies/p?action=simulate&delta=True&trace=False", body).json == {
        "result": ["q+(1)", "q+(2)"]
    }
    assert ask(policed, "GET", "policies/p/tables").json == {"results": []}
    assert ask(policed, "POST", "policies/p?action=simulate", {**body, "query": "q("}).status == 400
    assert ask(policed, "POST", "policies/p?action=execute", {"name": "nova:pause", "args": {}}).status == 501
    assert ask(policed, "POST", "policies?library_policy=x").status == 501


@pytest.mark.parametrize(
    "body",
    [None, [], {"name": 1}, {"name": "a:b"}, {"name": "neutronv2"}, {"name": "x" * 256}, {"name": "n", "kind": "odd"},
     {"name": "n", "rules": [{"rule": ""}]}, {"name": "n", "rules": [{"rule": "p("}]}],
)  # fmt: skip
def test_policies_that_cannot_be(policed: Cloud, body: object) -> None:
    assert ask(policed, "POST", "policies", body).status == 400
    assert ask(policed, "GET", "policies").json == {"results": []}


def test_the_neutron_api_says_which_clause_forbids(policed: Cloud) -> None:
    rules = [{"rule": 'error(x) :- neutronv2:networks(id=x, name="bad")'}]
    ask(policed, "POST", "policies", {"name": "naming", "description": "Ask the network team.", "rules": rules})
    told = ask(policed, "PUT", "policies/naming", {"mode": "enforced", "proactive": True}).json
    assert (told["mode"], told["proactive"]) == ("enforced", True)
    assert ask(policed, "PUT", "policies/naming", {"mode": "angry"}).status == 400
    for name, status in (("bad", 403), ("good", 201)):
        made = policed.call("POST", "/v2.0/networks", {"network": {"name": name}}, policed.admin.token)
        assert made.status == status
        if status == 403:
            assert made.error[1] == "PolicyForbids" and "Ask the network team." in made.error[2]
            assert 'neutronv2:networks(id=x, name="bad")' in made.error[2]
    assert [one["name"] for one in ask(policed, "POST", "stop").json["results"]] == ["naming"]
    made = policed.call("POST", "/v2.0/networks", {"network": {"name": "bad"}}, policed.admin.token)
    assert made.status == 201


def test_data_sources_are_what_the_caller_may_see(policed: Cloud) -> None:
    alice = policed.account("alice")
    for token, names in (("", ["neutronv2", "keystone", "suimon"]), (alice.token, ["neutronv2", "suimon"])):
        found = ask(policed, "GET", "data-sources", token=token).json["results"]
        assert sorted(one["id"] for one in found) == sorted(names)
    assert ask(policed, "GET", "data-sources/keystone/tables/users/rows", token=alice.token).status == 404
    made = policed.call("POST", "/v2.0/networks", {"network": {"name": "n"}}, alice.token).json["network"]
    policed.call("POST", "/v2.0/networks", {"network": {"name": "n"}}, policed.admin.token)
    for token, many in (("", 2), (alice.token, 1)):
        spec = ask(policed, "GET", "data-sources/neutronv2/tables/networks/spec", token=token).json["columns"]
        columns = [column["name"] for column in spec]
        rows = ask(policed, "GET", "data-sources/neutronv2/tables/networks/rows", token=token).json["results"]
        assert len(rows) == many and all(len(row["data"]) == len(columns) for row in rows)
        assert made["id"] in [row["data"][0] for row in rows]
        assert ("provider_segmentation_id" in columns) == (not token)
    status = ask(policed, "GET", "data-sources/neutronv2/status").json
    assert (status["revision"], status["last_error"]) == (policed.store.position()[2], "None")
    assert {"id": "fixed_ips"} in ask(policed, "GET", "data-sources/neutronv2/tables").json["results"]
    assert "ports" in [one["table_id"] for one in ask(policed, "GET", "data-sources/neutronv2/schema").json["tables"]]
    for path in ("", "/tables/x", "/tables/x/spec", "/tables/x/rows", "/schema", "/status", "/actions", "/tables"):
        assert ask(policed, "GET", f"data-sources/none{path}").status == 404, path


def test_projects_policies_are_their_own(policed: Cloud) -> None:
    alice, bob = policed.account("alice"), policed.account("bob")
    reader = policed.account("ann", "reader")
    made = ask(policed, "POST", "policies", {"name": "mine", "rules": [{"rule": "p(1)"}]}, alice.token).json
    rule = made["rules"][0]["id"]
    ask(policed, "POST", "policies", {"name": "clouds"})
    assert [one["name"] for one in ask(policed, "GET", "policies", token=alice.token).json["results"]] == ["mine"]
    assert {one["name"] for one in ask(policed, "GET", "policies").json["results"]} == {"mine", "clouds"}
    for name in ("mine", made["id"], "clouds"):
        for method, path in (
            ("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/rules"), ("POST", "/rules"), ("GET", f"/rules/{rule}"),
            ("DELETE", f"/rules/{rule}"), ("GET", "/tables"), ("GET", "/tables/p"), ("GET", "/tables/p/rows"),
        ):  # fmt: skip
            body = {"rule": "p(2)"} if method == "POST" else {"mode": "draft"} if method == "PUT" else None
            assert ask(policed, method, f"policies/{name}{path}", body, bob.token).status == 404, (method, path)
    simulated = {"query": "p(x)", "sequence": "", "action_policy": "mine"}
    assert ask(policed, "POST", "policies/mine?action=simulate", simulated, bob.token).status == 404
    assert ask(policed, "POST", "policies", {"name": "own"}, reader.token).status == 403
    for path in ("policies", "violations", "history", "data-sources"):
        assert policed.call("GET", f"/policy/v1/{path}").status == 401, path
    assert policed.call("GET", "/policy").json["versions"][0]["id"] == "v1"


def test_what_was_violated_when(policed: Cloud) -> None:
    news = News("", "p", ("a", 1, None), True, 7, "req-1", "because")
    policed.run(policed.store.write(lambda tx: note_violations(tx, [news]), SYSTEM))
    (one,) = ask(policed, "GET", "violations").json["violations"]
    assert (one["row"], one["appeared_revision"], one["vanished_at"]) == (["a", 1, None], 7, None)
    assert ask(policed, "GET", f"violations/{one['id']}").json["violation"]["why"] == "because"
    for query, many in (("?at=2026-01-01", 0), ("?at=2999-01-01T00:00:00Z", 1), ("?ended=true&limit=1", 1)):
        assert len(ask(policed, "GET", f"violations{query}").json["violations"]) == many, query
    for query in ("?at=yesterday", "?limit=0", "?since=1"):
        assert ask(policed, "GET", f"violations{query}").status == 400, query
    alice = policed.account("alice")
    assert ask(policed, "GET", "violations", token=alice.token).json == {"violations": []}
    assert ask(policed, "GET", f"violations/{one['id']}", token=alice.token).status == 404
    ask(policed, "POST", "policies", {"name": "p", "rules": [{"rule": "p(1)"}]})
    assert {line["diff"] for line in ask(policed, "GET", "history").json["history"]} == {"+p(1)", ""}
    assert ask(policed, "GET", "history", token=alice.token).json == {"history": []}
