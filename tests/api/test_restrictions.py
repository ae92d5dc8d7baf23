"""Restrictions through the operations API: operators make and end them, tenants see what binds them and no more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cloud import Account, Answer, Cloud

ROOT = "/operations/v1/restrictions"
BLOCK = {"kind": "port_block", "protocol": "tcp", "port_min": 25, "direction": "egress", "reason": "mass mail"}
HIDDEN = {"finding_id", "evidence", "author", "author_kind", "released_by", "release_reason"}


def port_of(cloud: Cloud, account: Account) -> str:
    network = cloud.call("POST", "/v2.0/networks", {"network": {}}, account.token).json["network"]["id"]
    return str(cloud.call("POST", "/v2.0/ports", {"port": {"network_id": network}}, account.token).json["port"]["id"])


def restrict(cloud: Cloud, port: str, token: str = "", **given: Any) -> Answer:
    body = {"restriction": {**BLOCK, "target_kind": "port", "target": port, **given}}
    return cloud.call("POST", ROOT, body, token or cloud.admin.token)


def listed(cloud: Cloud, token: str, query: str = "") -> list[dict[str, Any]]:
    return list(cloud.call("GET", f"{ROOT}{query}", token=token).json["restrictions"])


def test_a_tenant_sees_his_own_without_who_reported_it_and_nobody_elses(cloud: Cloud) -> None:
    anna, bert = cloud.account("anna", "reader"), cloud.account("bert", "member")
    ports = {name: port_of(cloud, account) for name, account in (("anna", cloud.admin), ("bert", bert))}
    made = restrict(cloud, ports["bert"], finding_id="f1", evidence=["also project other"], duration_s=60)
    assert made.status == 201
    id_ = made.json["restriction"]["id"]
    (story,) = cloud.call("GET", "/operations/v1/incidents", token=bert.token).json["incidents"]
    assert (story["restriction_id"], story["state"], "host" in story) == (id_, "restricted", False)
    assert cloud.call("GET", "/operations/v1/incidents", token=anna.token).json["incidents"] == []
    (seen,) = listed(cloud, bert.token)
    assert (seen["id"], seen["reason"], seen["target"]) == (id_, "mass mail", ports["bert"])
    assert not HIDDEN & seen.keys() and made.json["restriction"].keys() >= HIDDEN
    assert "other" not in cloud.call("GET", f"{ROOT}/{id_}", token=bert.token).body.decode()
    assert listed(cloud, anna.token) == []
    for query in (f"?target={ports['bert']}", f"?id={id_}", "?state=active", "?project_id=" + bert.project_id):
        assert listed(cloud, anna.token, query) == []
    assert cloud.call("GET", f"{ROOT}/{id_}", token=anna.token).status == 404
    assert cloud.call("GET", f"{ROOT}?marker={id_}", token=anna.token).status == 404
    for name in HIDDEN - {"evidence"}:
        assert cloud.call("GET", f"{ROOT}?{name}=f1", token=bert.token).status == 403, name
        assert cloud.call("GET", f"{ROOT}?sort_key={name}&sort_dir=asc", token=bert.token).status == 403, name


@pytest.mark.parametrize("role", ["reader", "member", "manager"])
def test_tenants_make_and_end_nothing(cloud: Cloud, role: str) -> None:
    tenant = cloud.account(f"t-{role}", role)
    port = port_of(cloud, cloud.admin)
    assert restrict(cloud, port, tenant.token).status == 403
    id_ = restrict(cloud, port).json["restriction"]["id"]
    assert cloud.call("POST", f"{ROOT}/{id_}/release", {"why": "x"}, tenant.token).status == 404
    assert cloud.call("POST", f"{ROOT}/release", {"why": "x"}, tenant.token).status == 403
    for method, path in (("GET", ROOT), ("POST", ROOT), ("POST", f"{ROOT}/release"), ("GET", f"{ROOT}/{id_}")):
        assert cloud.call(method, path, {}).status == 401
    assert listed(cloud, cloud.admin.token, "?state=active")[0]["id"] == id_


def test_all_or_none_of_a_list_are_made_and_released_alone_or_together(cloud: Cloud) -> None:
    port = port_of(cloud, cloud.admin)
    one = {**BLOCK, "target_kind": "port", "target": port}
    bad = {"restrictions": [one, {**one, "target": "nowhere"}]}
    assert cloud.call("POST", ROOT, bad, cloud.admin.token).error[0] == 404
    assert listed(cloud, cloud.admin.token) == []
    told = cloud.call("POST", ROOT, {"restrictions": [one] * 3}, cloud.admin.token).json["restrictions"]
    first = told[0]["id"]
    ended = cloud.call("POST", f"{ROOT}/{first}/release", {"why": "mended"}, cloud.admin.token).json["restriction"]
    assert (ended["state"], ended["release_reason"]) == ("released", "mended")
    rest = cloud.call("POST", f"{ROOT}/release", {"why": "all", "within_s": 3600}, cloud.admin.token)
    assert {each["id"] for each in rest.json["restrictions"]} == {each["id"] for each in told[1:]}
    assert listed(cloud, cloud.admin.token, "?state=active") == []
    newest = [each["id"] for each in listed(cloud, cloud.admin.token, "?limit=2")]
    assert len(newest) == 2 and len(listed(cloud, cloud.admin.token, f"?marker={newest[-1]}")) == 1


@pytest.mark.parametrize("body", [{}, {"why": ""}, {"why": 5}, {"why": "x", "within_s": 0}, {"why": "x", "y": 1}, []])
def test_a_release_that_makes_no_sense(cloud: Cloud, body: object) -> None:
    assert cloud.call("POST", f"{ROOT}/release", body, cloud.admin.token).error[0] == 400


@pytest.mark.parametrize("body", [None, [], {}, {"restriction": {}}, {"restriction": 5}, {"restrictions": []}, b"{"])
def test_what_makes_no_restriction(cloud: Cloud, body: object) -> None:
    assert cloud.call("POST", ROOT, body, cloud.admin.token).error[0] == 400
