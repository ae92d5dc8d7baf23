"""Congress's API, and what is ours beside it, over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import msgspec
import pytest

from suimon.enforcement.history import FactHistory, FactHistoryConfig
from suimon.model.actor import SYSTEM
from suimon.model.policies import News
from suimon.resources.fact_tables import list_tables
from suimon.resources.violations import note_violations
from suimon.store.tx import Tx
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
    body["sequence"] = 'q+(1) q-(1) neutronv2:networks+("n", "t", "bad", "", true, false)'
    policed.call("POST", "/v2.0/networks", {"network": {"name": "x"}}, policed.admin.token)
    assert ask(policed, "POST", "policies/p?action=simulate&trace=True", body).status == 400
    columns = len(ask(policed, "GET", "data-sources/neutronv2/tables/networks/spec").json["columns"])
    row = ", ".join(['"n"', '"t"', '"bad"', *["null"] * (columns - 3)])
    body["sequence"] = f"q+(1) q-(1) neutronv2:networks+({row}) q+(x) :- neutronv2:networks(name=x)"
    told = ask(policed, "POST", "policies/p?action=simulate&trace=True", body).json
    assert told["result"] == ['q("bad")', 'q("x")']
    assert [line for line in told["trace"].splitlines() if line.startswith("  ")] == [
        "  + q(1)", "  - q(1)", '  + q("bad")', '  + q("x")'
    ]  # fmt: skip
    assert len(ask(policed, "GET", "data-sources/neutronv2/tables/networks/rows").json["results"]) == 1
    assert ask(policed, "GET", "policies/p/tables").json == {"results": []}
    assert ask(policed, "POST", "policies/p?action=simulate", {**body, "query": "q("}).status == 400
    assert ask(policed, "POST", "policies/p?action=jump", {}).status == 501


def test_one_action_now_and_undone(policed: Cloud) -> None:
    alice = policed.account("alice")
    made = policed.call("POST", "/v2.0/networks", {"network": {"name": "n"}}, alice.token).json["network"]
    port = policed.call("POST", "/v2.0/ports", {"port": {"network_id": made["id"]}}, alice.token).json["port"]
    assert ask(policed, "POST", "policies", {"name": "p"}).status == 201
    state, groups = {"port": port["id"], "up": False}, [port["id"], port["security_groups"][0]]
    for path, name, args in (
        ("policies/p", "suimon:set_port_state", {"positional": [port["id"]], "named": {"up": False}}),
        ("data-sources/neutronv2", "detach_port_security_group", {"positional": groups}),
    ):
        # The cloud's policy isn't there for her, and nothing can be done by her without it.
        status = 404 if path == "policies/p" else 403
        assert (
            ask(policed, "POST", f"{path}?action=execute", {"name": name, "args": args}, alice.token).status == status
        )
        done = ask(policed, "POST", f"{path}?action=execute", {"name": name, "args": args})
        assert (done.status, done.json["state"]) == (200, "acted")
    shown = policed.call("GET", f"/v2.0/ports/{port['id']}", None, alice.token).json["port"]
    assert (shown["admin_state_up"], shown["security_groups"]) == (False, [])
    told = policed.call("GET", f"/operations/v1/incidents/{done.json['incident_id']}", None, policed.admin.token).json
    assert [line["kind"] for line in told["incident"]["timeline"]] == ["decision", "action"]
    undone = policed.call("POST", "/operations/v1/incidents/undo", {"why": "w", "within_s": 60}, policed.admin.token)
    assert (len(undone.json["undone"]), undone.json["left"]) == (2, [])
    shown = policed.call("GET", f"/v2.0/ports/{port['id']}", None, alice.token).json["port"]
    assert (shown["admin_state_up"], shown["security_groups"]) == (True, groups[1:])
    for body, status in (
        ({"name": "nova:pause"}, 404),
        ({"name": "suimon:set_port_state", "args": {"named": {**state, "more": 1}}}, 400),
        ({"name": "suimon:set_port_state", "args": {"named": {"up": False}}}, 400),
        ({"name": "suimon:set_port_state", "args": {"positional": [port["id"], "False"]}}, 400),
        ({"name": 1}, 400),
    ):
        assert ask(policed, "POST", "policies/p?action=execute", body).status == status, body
    assert ask(policed, "POST", "policies/none?action=execute", {"name": "x"}).status == 404
    assert ask(policed, "POST", "data-sources/neutronv2?action=request-refresh", {}).status == 501


def test_what_can_be_done(policed: Cloud) -> None:
    told = {one["name"]: one for one in ask(policed, "GET", "data-sources/neutronv2/actions").json["results"]}
    assert told["delete_security_group_rule"]["args"] == [{"name": "rule", "description": "the rule's id"}]
    assert "quarantine" in {one["name"] for one in ask(policed, "GET", "data-sources/suimon/actions").json["results"]}
    assert ask(policed, "GET", "data-sources/keystone/actions").json == {"results": []}


def test_a_policy_of_the_library(policed: Cloud) -> None:
    alice = policed.account("alice")
    shown = {one["name"]: one for one in ask(policed, "GET", "librarypolicies", token=alice.token).json["results"]}
    ready = shown["open_ports"]
    assert ready["ready"] and ready["rules"][0]["rule"] == 'forbidden("tcp", 22)'
    assert ask(policed, "GET", "librarypolicies/open_ports?include_rules=True").json == ready
    bare = {name: value for name, value in ready.items() if name != "rules"}
    assert ask(policed, "GET", "librarypolicies/open_ports?include_rules=False").json == bare
    assert ask(policed, "GET", "librarypolicies?include_rules=False&name=open_ports").json == {"results": [bare]}
    for body in (None, {}):
        made = ask(policed, "POST", "policies?library_policy=open_ports", body, alice.token)
        assert (made.status, made.json["mode"], made.json["description"]) == (201, "staged", ready["description"])
        assert [one["rule"] for one in made.json["rules"]] == [one["rule"] for one in ready["rules"]]
        assert ask(policed, "DELETE", "policies/open_ports", token=alice.token).status == 200
    wanted = {"facts": ['approved("p1")']}
    made = ask(policed, "POST", "policies?library_policy=approved_floating_ips", wanted).json
    assert [one["rule"] for one in made["rules"]][:1] == ['approved("p1")']
    for name, body, status in (
        ("none", None, 404),
        ("naming", {"name": "x"}, 400),
        ("naming", {"facts": ["x(1)"]}, 400),
    ):
        assert ask(policed, "POST", f"policies?library_policy={name}", body).status == status, (name, body)
    refusal = ask(policed, "POST", "policies?library_policy=residency", None, alice.token)
    assert refusal.status == 400 and "binding_host_id" in refusal.error[2]


def test_operators_write_the_library(policed: Cloud) -> None:
    body = {"name": "mine", "description": "d", "rules": [{"rule": "error(1)", "name": "one", "comment": "c"}]}
    made = ask(policed, "POST", "librarypolicies", body)
    assert (made.status, made.json["ready"], made.json["rules"]) == (201, False, body["rules"])
    body["rules"] = [{"rule": "error(2)"}]
    changed = ask(policed, "PUT", f"librarypolicies/{made.json['id']}", body).json
    assert (changed["id"], changed["rules"][0]["rule"]) == (made.json["id"], "error(2)")
    ask(policed, "POST", f"policies?library_policy={made.json['id']}")
    assert ask(policed, "GET", "policies/mine/tables/error/rows").json == {"results": [{"data": [2]}]}
    assert ask(policed, "DELETE", "librarypolicies/mine").json == changed
    assert ask(policed, "GET", "librarypolicies/mine").status == 404
    for bad in ({"name": "x"}, {"name": "x", "rules": [{"rule": "p("}]}, [], None):
        assert ask(policed, "POST", "librarypolicies", bad).status == 400


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
    for token, names in (
        ("", ["clock", "neutronv2", "keystone", "nova", "suimon"]),
        (alice.token, ["clock", "neutronv2", "suimon"]),
    ):
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


def test_rows_are_pushed_whole_by_object_and_by_webhook(policed: Cloud) -> None:
    made = ask(policed, "POST", "data-sources", {"name": "lab", "driver": "push", "config": {"max_age_s": "60"}})
    assert (made.status, made.json["id"], made.json["config"]) == (201, "lab", {"max_age_s": "60"})
    rows, hook = "data-sources/lab/tables/switches/rows", "data-sources/lab/tables/switches/webhook"
    assert ask(policed, "POST", "policies", {"name": "lab"}).status == 409
    assert ask(policed, "PUT", rows, []).status == 409
    assert ask(policed, "PUT", rows, [{"name": "s1", "ok": True}, {"ok": None, "name": "s2"}]).status == 200
    ask(policed, "POST", "policies", {"name": "p", "rules": [{"rule": "q(x) :- lab:switches(name=x, ok=true)"}]})
    told = [
        ("PUT", rows, [["s1", False], ["s2", True]], 200, "s2"),
        ("POST", hook, {"name": "s1", "ok": True}, 200, "s1 s2"),
        ("POST", hook, {"name": "s2", "ok": False}, 200, "s1"),
        ("POST", "data-sources/lab/webhook", {"switches": [["s3", True]], "more": [[1]]}, 200, "s3"),
        ("POST", "data-sources/lab/webhook", {"switches": [["s4", True]], "more": [[1, 2]]}, 400, "s3"),
        ("PUT", rows, [["s4", True], ["s5"]], 400, "s3"),
        ("PUT", rows, [["s4", True], {"name": "s5", "ok": True}], 400, "s3"),
        ("PUT", rows, [{"name": "s4", "fine": True}], 400, "s3"),
        ("PUT", rows, {"rows": []}, 400, "s3"),
        ("PUT", rows, [["s4", {"x": 1}]], 400, "s3"),
        ("PUT", rows, [], 200, ""),
    ]
    for method, path, body, status, names in told:
        assert ask(policed, method, path, body).status == status, body
        found = ask(policed, "GET", "policies/p/tables/q/rows").json["results"]
        assert [row["data"][0] for row in found] == names.split(), body
    status = ask(policed, "GET", "data-sources/lab/status").json["tables"]
    assert {(one["table"], one["max_age_s"], one["stale"], one["rows"]) for one in status} == {
        ("lab:switches", 60, False, 0), ("lab:more", 60, False, 1)
    }  # fmt: skip
    assert ask(policed, "GET", "data-sources/lab/tables/more/spec").json["columns"][0]["name"] == "col0"
    alice = policed.account("alice")
    for method, path, body in (
        ("POST", "data-sources", {"name": "x", "driver": "push"}), ("DELETE", "data-sources/lab", None),
        ("PUT", rows, [["a", True]]), ("POST", hook, {"name": "s", "ok": True}),
        ("POST", "data-sources/lab/webhook", {}),
    ):  # fmt: skip
        assert ask(policed, method, path, body, alice.token).status == 403, (method, path)
    assert ask(policed, "GET", "data-sources/lab/status", token=alice.token).status == 404
    assert ask(policed, "PUT", "data-sources/nova/tables/servers/rows", [[1]]).status == 404
    assert [ask(policed, "DELETE", "data-sources/lab").status for _ in range(2)] == [200, 404]
    assert ask(policed, "GET", "data-sources/lab").status == 404


@pytest.mark.parametrize(
    "body",
    [None, [], {"name": "a:b", "driver": "push"}, {"name": "suimon", "driver": "push"}, {"name": "x", "driver": "nova"},
     {"name": "x", "driver": "push", "config": {"max_age_s": "soon"}}, {"name": "x"}],
)  # fmt: skip
def test_data_sources_that_cannot_be(policed: Cloud, body: object) -> None:
    assert ask(policed, "POST", "data-sources", body).status == 400


def test_what_staged_policies_would_deny(policed: Cloud) -> None:
    rules = [{"rule": 'error(x) :- neutronv2:networks(id=x, name="bad")'}]
    ask(policed, "POST", "policies", {"name": "naming", "rules": rules})
    ask(policed, "PUT", "policies/naming", {"mode": "staged", "proactive": True})
    made = policed.call("POST", "/v2.0/networks", {"network": {"name": "bad"}}, policed.admin.token)
    (one,) = ask(policed, "GET", "evaluations?policy=naming&outcome=would_deny").json["evaluations"]
    assert (one["row"], one["clause"]) == (f'error("{made.json["network"]["id"]}")', rules[0]["rule"])
    assert (one["user_id"], one["request_id"]) == (policed.admin.user_id, made.headers["x-openstack-request-id"])
    (policy,) = ask(policed, "GET", "policies").json["results"]
    assert (policy["tally"]["would_deny"], policy["tally"]["denied"]) == (1, 0) and policy["tally"]["since"]
    assert ask(policed, "GET", "evaluations?outcome=denied").json == {"evaluations": []}
    for query in ("?outcome=odd", "?limit=0", "?since=1"):
        assert ask(policed, "GET", f"evaluations{query}").status == 400, query
    alice = policed.account("alice")
    assert ask(policed, "GET", "evaluations", token=alice.token).json == {"evaluations": []}


def test_violations_say_which_facts_are_older_than_promised(policed: Cloud) -> None:
    ask(policed, "POST", "data-sources", {"name": "lab", "driver": "push", "config": {"max_age_s": "60"}})
    ask(policed, "PUT", "data-sources/lab/tables/names/rows", [{"name": "bad"}])
    rules = [{"rule": "error(x) :- wrong(x)"}, {"rule": "wrong(x) :- neutronv2:networks(id=x, name=n), lab:names(n)"}]
    ask(policed, "POST", "policies", {"name": "naming", "rules": rules})
    ask(policed, "POST", "policies", {"name": "other", "rules": [{"rule": "error(1)"}]})
    for name in ("naming", "other"):
        news = News("", name, (1,), True, 7)
        policed.run(policed.store.write(lambda tx, news=news: note_violations(tx, [news]), SYSTEM))  # type: ignore[misc]

    def stale() -> dict[str, list[str]]:
        found = ask(policed, "GET", "violations").json["violations"]
        return {one["policy"]: [table["table"] for table in one["stale"]] for one in found}

    assert stale() == {"naming": [], "other": []}
    ask(policed, "PUT", "policies/naming", {"mode": "enforced", "proactive": True})

    def grow_old(tx: Tx) -> None:
        (before,) = list_tables(tx)
        tx.update(before, msgspec.structs.replace(before, read_at=tx.now - timedelta(seconds=61)))

    policed.run(policed.store.write(grow_old, SYSTEM))
    assert stale() == {"naming": ["lab:names"], "other": []}
    made = policed.call("POST", "/v2.0/networks", {"network": {"name": "bad"}}, policed.admin.token)
    assert made.status == 403 and "lab:names was read 6" in made.error[2]
    ask(policed, "PUT", "data-sources/lab/tables/names/rows", [{"name": "bad"}])
    assert stale() == {"naming": [], "other": []}


def test_what_facts_were_and_a_draft_over_them(policed: Cloud) -> None:
    keeping = FactHistory(FactHistoryConfig(), policed.store)
    policed.run(keeping.round())
    since = datetime.now(UTC).isoformat()
    made = policed.call("POST", "/v2.0/networks", {"network": {"name": "bad"}}, policed.admin.token)
    policed.run(keeping.round())
    at = "2999-01-01T00:00:00Z"
    then = ask(policed, "GET", f"past/neutronv2/networks?at={at}").json
    assert (then["columns"][:3], then["rows"][0][2], then["many"]) == (["id", "tenant_id", "name"], "bad", 1)
    assert ask(policed, "GET", f"past/neutronv2/networks?at={quote(since)}").json["rows"] == []
    clauses = ['error(x) :- neutronv2:networks(id=x, name="bad")']
    told = ask(policed, "POST", "policies/new/replay", {"since": since, "rules": clauses})
    (line,) = [json.loads(line) for line in told.body.splitlines() if b"replay" in line]
    (one,) = line["replay"]["found"]
    assert (one["what"], one["row"]) == ("appeared", f'error("{made.json["network"]["id"]}")')
    assert (one["denied"], one["request_id"]) == (True, made.headers["x-openstack-request-id"])
    ask(policed, "POST", "data-sources", {"name": "lab", "driver": "push"})
    ask(policed, "PUT", "data-sources/lab/tables/names/rows", [{"name": "bad"}])
    unknown = ask(policed, "GET", f"past/lab/names?at={quote(since)}").json
    assert unknown["rows"] == [] and "lab:names" in unknown["missing"][0]
    policed.run(keeping.round())
    pushed = ask(policed, "GET", f"past/lab/names?at={at}").json
    assert (pushed["rows"], pushed["missing"]) == ([["bad"]], [])
    alice = policed.account("alice")
    assert ask(policed, "GET", f"past/neutronv2/networks?at={at}", token=alice.token).json["rows"] == []
    theirs = ask(policed, "POST", "policies/new/replay", {"since": since, "rules": clauses}, alice.token)
    assert json.loads(theirs.body.splitlines()[-1])["replay"]["found"] == []
    late = ["error(m) :- clock:now(minute=m)", "error(p) :- suimon:flows(port_id=p)", "error(x) :- lab:names(name=x)"]
    told = ask(policed, "POST", "policies/new/replay", {"since": since, "rules": late})
    found = json.loads(told.body.splitlines()[-1])["replay"]
    assert 'error("bad")' in [one["row"] for one in found["found"]] and found["wrong_before"] == 1
    assert any("No collector of flow records has joined" in missing for missing in found["missing"])
    for path, status in (
        ("past/neutronv2/networks", 400), ("past/neutronv2/networks?at=soon", 400), (f"past/none/x?at={at}", 404),
        ("past/neutronv2/networks?at=2020-01-01", 400), (f"past/clock/now?at={at}", 400),
    ):  # fmt: skip
        assert ask(policed, "GET", path).status == status, path
    for name, body, status in (
        ("none", {"since": since}, 404), ("new", {"since": "2020-01-01", "rules": clauses}, 400),
        ("new", {"since": since, "rules": ["p("]}, 400), ("new", {"since": at, "rules": clauses}, 400),
        ("new", {"rules": clauses}, 400), ("new", {"since": since, "rules": clauses}, 200),
    ):  # fmt: skip
        assert ask(policed, "POST", f"policies/{name}/replay", body).status == status, body


def test_what_kinds_there_are(policed: Cloud) -> None:
    rules = [{"rule": "reach(x, y) :- link(x, y)"}, {"rule": "reach(x, z) :- link(x, y), reach(y, z)"}]
    rules += [{"rule": "link(1, 2)"}, {"rule": "link(2, 3)"}]
    for kind, status in (("recursive", 201), ("materialized", 201), ("nonrecursive", 400), ("database", 400)):
        assert ask(policed, "POST", "policies", {"name": kind, "kind": kind, "rules": rules}).status == status, kind
    assert {"data": [1, 3]} in ask(policed, "GET", "policies/recursive/tables/reach/rows").json["results"]
