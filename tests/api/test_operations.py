"""Hosts through the operations API: for admins, and only what was reported."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from suimon.distribution.presence import HostState
from suimon.model.actor import SYSTEM
from suimon.model.view import Drift, Join
from suimon.resources import hosts
from tests.api.cloud import Cloud


def token_of(cloud: Cloud, **wanted: object) -> dict[str, str]:
    told = cloud.call("POST", "/operations/v1/hosts/tokens", wanted, cloud.admin.token)
    assert told.status == 201, told.body
    return dict(told.json["token"])


def joined(cloud: Cloud, name: str, tunnel_ip: str) -> None:
    wanted = Join(token_of(cloud, host=name)["secret"], name, tunnel_ip, ("public",))
    cloud.run(cloud.store.write(lambda tx: hosts.join_host(tx, wanted, name), SYSTEM))


def test_a_host_is_listed_with_what_it_reported(cloud: Cloud) -> None:
    assert cloud.call("GET", "/operations/v1/hosts", token=cloud.admin.token).json == {"hosts": []}
    joined(cloud, "hv2", "192.0.2.2")
    joined(cloud, "hv1", "192.0.2.1")
    reported_at = datetime(2026, 1, 1, tzinfo=UTC)
    cloud.states["hv1"] = HostState(
        host="hv1", up=True, linked=True, reported_at=reported_at, revision=7, lag_revisions=2, held="too much"
    )
    first, second = cloud.call("GET", "/operations/v1/hosts", token=cloud.admin.token).json["hosts"]
    assert first.items() >= {"name": "hv1", "up": True, "revision": 7, "lag_revisions": 2, "held": "too much"}.items()
    assert second.items() >= {"name": "hv2", "up": False, "tunnel_ip": "192.0.2.2", "physnets": ["public"]}.items()
    shown = cloud.call("GET", "/operations/v1/hosts/hv1", token=cloud.admin.token).json["host"]
    assert shown == first and "credential_hash" not in shown


def test_the_trail_of_a_host_is_told_by_time_and_kind(cloud: Cloud) -> None:
    joined(cloud, "hv1", "192.0.2.1")
    drifts = [Drift("port/p", missing=1, id=f"e{hours}", age_s=hours * 3600.0) for hours in range(4)]
    removal = Drift("bridge/b", id="gone", kind="removal", by="root (uid 0): suimon agent clean", age_s=9e4)
    cloud.run(cloud.store.write(lambda tx: hosts.note_events(tx, "hv1", [*drifts, removal]), SYSTEM))

    def told(query: str, host: str = "hv1") -> Any:
        return cloud.call("GET", f"/operations/v1/hosts/{host}/events{query}", token=cloud.admin.token)

    assert [each["id"] for each in told("").json["events"]] == ["e0", "e1", "e2", "e3", "gone"]
    now_s = time.time()
    window = f"?since={now_s - 9000}&until={now_s - 1800}"
    assert [each["id"] for each in told(window).json["events"]] == ["e1", "e2"]
    (gone,) = told("?kind=removal").json["events"]
    assert gone.items() >= {"host": "hv1", "owner": "bridge/b", "author": removal.by, "repaired": True}.items()
    assert [each["id"] for each in told("?limit=1").json["events"]] == ["e0"]
    for query in ("?kind=other", "?since=yesterday", "?limit=0", "?before=1"):
        assert told(query).status == 400, query
    assert told("", "hv9").status == 404


def test_accept_and_remove(cloud: Cloud) -> None:
    joined(cloud, "hv1", "192.0.2.1")
    assert cloud.call("POST", "/operations/v1/hosts/hv1/accept", token=cloud.admin.token).json["host"]["name"] == "hv1"
    assert cloud.call("DELETE", "/operations/v1/hosts/hv1", token=cloud.admin.token).status == 204
    for method, path in (("GET", "hosts/hv1"), ("DELETE", "hosts/hv1"), ("POST", "hosts/hv1/accept")):
        told = cloud.call(method, f"/operations/v1/{path}", token=cloud.admin.token)
        assert told.error == (404, "Not Found", "Host hv1 could not be found."), (method, path)


def test_a_host_may_be_called_as_a_path_of_ours(cloud: Cloud) -> None:
    joined(cloud, "tokens", "192.0.2.1")
    assert cloud.call("GET", "/operations/v1/hosts/tokens", token=cloud.admin.token).json["host"]["name"] == "tokens"
    assert cloud.call("PUT", "/operations/v1/hosts/tokens", token=cloud.admin.token).status == 405
    assert cloud.call("DELETE", "/operations/v1/hosts/tokens", token=cloud.admin.token).status == 204


def test_a_join_token_is_told_once_and_kept_as_a_hash(cloud: Cloud) -> None:
    secret = token_of(cloud, lifetime_s=60)["secret"]
    assert len(secret) == 64
    assert secret.encode() not in b"".join(path.read_bytes() for path in cloud.directory.glob("suimon.db*"))


@pytest.mark.parametrize(
    "body", [{"lifetime_s": 1}, {"lifetime_s": 10**9}, {"lifetime_s": "x"}, {"host": 5}, {"host": "a b"}, [], "x", b"{"]
)
def test_a_join_token_that_makes_no_sense(cloud: Cloud, body: object) -> None:
    assert cloud.call("POST", "/operations/v1/hosts/tokens", body, cloud.admin.token).error[0] == 400


def test_tenants_see_and_do_nothing_here(cloud: Cloud) -> None:
    anna = cloud.account("anna", "manager")
    joined(cloud, "hv1", "192.0.2.1")
    for method, path in (
        ("GET", "hosts"),
        ("GET", "hosts/hv1"),
        ("GET", "hosts/hv1/events"),
        ("DELETE", "hosts/hv1"),
        ("POST", "hosts/hv1/accept"),
        ("POST", "hosts/tokens"),
    ):
        assert cloud.call(method, f"/operations/v1/{path}", token=anna.token).error[:2] == (403, "Forbidden"), path
        assert cloud.call(method, f"/operations/v1/{path}").status == 401
    assert cloud.call("PUT", "/operations/v1/hosts", token=anna.token).status == 405
    assert cloud.call("GET", "/operations/v1/nosuch", token=anna.token).status == 404


def test_a_host_is_drained_when_all_know_and_its_ports_are_told(cloud: Cloud) -> None:
    for number, name in enumerate(("hv1", "hv2"), 1):
        joined(cloud, name, f"192.0.2.{number}")
    path, admin = "/operations/v1/hosts/hv1/drain", cloud.admin.token
    cloud.states["hv2"] = HostState(host="hv2", up=True, revision=0, lag_revisions=1)
    told = cloud.call("POST", path, token=admin).json["drain"]
    assert told == {
        "host": "hv1", "drained": True, "routers": [], "waiting_for": ["hv2"], "ports": [], "done": False,
    }  # fmt: skip
    assert cloud.call("GET", "/operations/v1/hosts/hv1", token=admin).json["host"]["drained"] is True
    cloud.states["hv2"] = HostState(host="hv2", up=True, revision=2**31, lag_revisions=1)
    assert cloud.call("GET", path, token=admin).json["drain"]["done"] is True, "later changes are another matter"
    cloud.states.revision = 0
    assert cloud.call("GET", path, token=admin).json["drain"]["done"] is False, "nobody was told yet"
    assert cloud.call("DELETE", path, token=admin).status == 204
    assert cloud.call("GET", path, token=admin).json["drain"]["drained"] is False
    anna = cloud.account("anna", "manager")
    for method in ("GET", "POST", "DELETE"):
        assert cloud.call(method, path.replace("hv1", "hv9"), token=admin).status == 404
        assert cloud.call(method, path, token=anna.token).status == 403
