"""Whatever is sent, the answer is an answer: never a 500, never something of our inside, never another tenant's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suimon.api.wire import BODY_LIMIT_BYTES
from suimon.model.errors import Unavailable
from suimon.resources.registry import RESOURCES
from tests.api.cloud import Account, Cloud

NOBODY = "00000000-0000-4000-8000-000000000000"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
plausible = st.sampled_from(
    [
        "", "10.1.0.0/24", "10.1.0.9", "fd00::/64", "fd00::1", "0.0.0.0/0", "::", "10.1.0.0/33", "1.2.3", "999.1.1.1",
        "fa:16:3e:00:00:01", "ff:ff:ff:ff:ff:ff", "tcp", "6", "icmp", "ingress", "IPv6", "vlan", "flat", "vxlan",
        "physnet1", "public", "network:router_interface", "true", "default", NOBODY, "{network}", "{subnet}", "{port}",
        "{group}", "{policy}", "\ud7ff", "\u0000", "a" * 256, "%", "'; DROP TABLE ports; --", 0, 1, 4, 6, 22, 65536,
        4094, 2**31, 2**63 - 1, 2**63, -1, True, False, None, [], {}, [None], [{}], [[]],
        [{"subnet_id": "{subnet}"}], [{"ip_address": "10.1.0.9"}], [{"ip_address": None}], [{"subnet_id": []}],
        [{"destination": "10.0.0.0/8", "nexthop": "10.1.0.9"}], [{"destination": 1}], {"network_id": "{network}"},
        {"network_id": "{network}", "external_fixed_ips": [{"ip_address": "x"}]}, [{"start": "10.1.0.5", "end": "x"}],
        [{"start": "10.1.0.5", "end": "10.1.0.9"}], ["{group}"], ["{group}", "{group}"], [{"ip_address": "10.0.0.0/8"}],
    ]
)  # fmt: skip
values = plausible | json_values


class World:
    """A cloud with one of each thing, whose ids values may name."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.tenant = cloud.account("tenant")
        self.ids = {"network": self.made("networks", {"name": "n"})}
        self.ids["subnet"] = self.made(
            "subnets", {"network_id": self.ids["network"], "ip_version": 4, "cidr": "10.1.0.0/24"}
        )
        self.ids["port"] = self.made("ports", {"network_id": self.ids["network"]})
        self.ids["group"] = self.made("security-groups", {"name": "g"})
        self.ids["policy"] = self.made("qos/policies", {"name": "q"})

    def made(self, path: str, body: dict[str, object]) -> str:
        told = self.cloud.call("POST", f"/v2.0/{path}", {RESOURCES[path].spec.singular: body}, self.cloud.admin.token)
        assert told.status == 201, told.body
        return str(next(iter(told.json.values()))["id"])

    def real(self, value: Any) -> Any:
        match value:
            case str():
                for name, id_ in self.ids.items():
                    value = value.replace(f"{{{name}}}", id_)
                return value
            case list():
                return [self.real(item) for item in value]
            case dict():
                return {self.real(key): self.real(item) for key, item in value.items()}
        return value


@pytest.fixture(scope="module")
def world(shared_cloud: Cloud) -> World:
    return World(shared_cloud)


def assert_fair(cloud: Cloud, method: str, path: str, body: object, token: str) -> None:
    told = cloud.call(method, path, body, token)
    assert told.status in (200, 201, 204, 400, 403, 404, 405, 409, 412, 413), (
        told.status,
        told.body,
        method,
        path,
        body,
    )
    assert told.headers["x-openstack-request-id"].startswith("req-")
    if told.body:
        assert told.headers["content-type"] == "application/json" and told.json is not None


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str, object]:
    """(method, path, body) near what the API knows."""
    path = draw(st.sampled_from(sorted(RESOURCES)))
    resource = RESOURCES[path]
    spec, tail = resource.spec, ""
    if resource.children and draw(st.booleans()):
        below = draw(st.sampled_from(sorted(resource.children)))
        spec, tail = resource.children[below].spec, f"/{{policy}}/{below}"
    names = [attribute.name for attribute in spec.attributes]
    fields = draw(st.dictionaries(st.sampled_from(names), values, max_size=5))
    for attribute in spec.attributes:
        if attribute.name in ("network_id", "security_group_id") and draw(st.booleans()):
            fields[attribute.name] = "{network}" if attribute.name == "network_id" else "{group}"
    if draw(st.booleans()):
        ids = st.sampled_from(["{network}", "{subnet}", "{port}", "{group}", "{policy}", NOBODY, "x"])
        where = f"/v2.0/{path}{tail}/{draw(ids)}"
        if resource.actions and draw(st.booleans()):
            return "PUT", f"{where}/{draw(st.sampled_from(sorted(resource.actions)))}", draw(values | st.just(fields))
        return "PUT", where, {spec.singular: fields}
    body = {spec.singular: fields} if draw(st.booleans()) else {spec.plural: [fields, fields]}
    return "POST", f"/v2.0/{path}{tail}", body


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=changes(), admin=st.booleans())
def test_no_body_makes_a_server_fault(world: World, change: tuple[str, str, object], admin: bool) -> None:
    method, path, body = change
    token = world.cloud.admin.token if admin else world.tenant.token
    assert_fair(world.cloud, method, world.real(path), world.real(body), token)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(sorted(RESOURCES)), name=st.text(max_size=8), value=values, data=st.data())
def test_no_query_makes_a_server_fault(world: World, path: str, name: str, value: object, data: st.DataObject) -> None:
    from urllib.parse import urlencode

    spec = RESOURCES[path].spec
    known = [attribute.name for attribute in spec.attributes] + sorted(spec.special_filters)
    key = data.draw(
        st.sampled_from([*known, "fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir", name])
    )
    query = {key: str(world.real(value))}
    if key == "sort_key":
        query = {"sort_key": data.draw(st.sampled_from(known)), "sort_dir": "desc", "limit": "1", "marker": NOBODY}
    query = {k: v.encode("utf-8", "surrogatepass").decode("utf-8", "replace") for k, v in query.items()}
    assert_fair(world.cloud, "GET", f"/v2.0/{path}?{urlencode(query)}", None, world.cloud.admin.token)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=json_values, path=st.sampled_from(["projects", "users", "roles", "auth/tokens"]), wrapped=st.booleans())
def test_no_identity_body_makes_a_server_fault(world: World, body: object, path: str, wrapped: bool) -> None:
    key = "auth" if path == "auth/tokens" else path.removesuffix("s")
    sent = {key: body} if wrapped else body
    assert_fair(world.cloud, "POST", f"/identity/v3/{path}", sent, world.cloud.admin.token)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60), parts=st.lists(st.text("abc/.%-_ \u00e9", max_size=12), max_size=4))
def test_no_bytes_and_no_path_make_a_server_fault(world: World, body: bytes, parts: list[str]) -> None:
    assert_fair(world.cloud, "POST", "/v2.0/ports", body, world.cloud.admin.token)
    path = "/".join(["", "v2.0", *parts]).replace("?", "").replace("#", "")
    assert_fair(world.cloud, "PUT", path, body, world.cloud.admin.token)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"network": ' + b'{"a":' * 50 + b"1" + b"}" * 51,
        b'{"network": {"name": "a\\u0000b"}}',
        b'{"network": {"mtu": 1' + b"0" * 5000 + b"}}",
        b'{"network": {"mtu": 1e999}}',
        b'{"network": {"name": "\\ud800"}}',
        b'{"network": {"name": "\xff"}}',
        b'{"network": {"name": NaN}}',
    ],
    ids=["deep", "deep_object", "nul", "huge_number", "infinite", "surrogate", "no_utf8", "nan"],
)
def test_unsound_json_is_refused_whole(shared_cloud: Cloud, body: bytes) -> None:
    told = shared_cloud.call("POST", "/v2.0/networks", body, shared_cloud.admin.token)
    assert told.error == (400, "HTTPBadRequest", "Body contains invalid data")


def test_a_body_over_the_limit_is_not_read_to_its_end(shared_cloud: Cloud) -> None:
    told = shared_cloud.call("POST", "/v2.0/networks", b" " * (BODY_LIMIT_BYTES + 1), shared_cloud.admin.token)
    assert told.error[:2] == (413, "HTTPRequestEntityTooLarge")
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 65536

    told = shared_cloud.call_with_parts(
        "POST", "/v2.0/networks", {"transfer-encoding": "chunked", "x-auth-token": shared_cloud.admin.token}, endless()
    )
    assert told.error[:2] == (413, "HTTPRequestEntityTooLarge") and sent <= 18


def test_one_request_does_not_hold_up_all_others(shared_cloud: Cloud) -> None:
    told = shared_cloud.call("POST", "/v2.0/ports", {"ports": [{}] * 1001}, shared_cloud.admin.token)
    assert told.error == (400, "HTTPBadRequest", "1000 ports at most can be created in one request.")


def test_a_fault_of_ours_tells_nothing_but_the_request(shared_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is xyzzy")

    monkeypatch.setattr(shared_cloud.store, "read", broken)
    told = shared_cloud.call("GET", "/v2.0/networks", token=shared_cloud.admin.token)
    assert told.error[:2] == (500, "HTTPInternalServerError") and b"xyzzy" not in told.body
    told = shared_cloud.call("GET", "/healthz")
    assert told.status == 503 and b"xyzzy" not in told.body


def test_what_is_not_the_callers_fault_is_told_the_operator(
    shared_cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise Unavailable("The disk under the database is full.")

    monkeypatch.setattr(shared_cloud.store, "write", full)
    with structlog.testing.capture_logs() as logs:
        told = shared_cloud.call("POST", "/v2.0/networks", {"network": {}}, shared_cloud.admin.token)
    assert told.error == (503, "ServiceUnavailable", "The disk under the database is full.")
    assert told.headers["retry-after"] == "1"
    assert [log["reason"] for log in logs if log["event"] == "unavailable"] == [told.error[2]]


def test_health_fails_when_the_store_does_not_answer(shared_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shared_cloud.call("GET", "/healthz").json["status"] == "ok"

    async def stuck(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(shared_cloud.store, "read", stuck)
    told = shared_cloud.call("GET", "/healthz")
    assert told.status == 503 and "did not answer" in told.json["reason"]


def things_of(cloud: Cloud, owner: Account) -> dict[str, str]:
    """One of each kind that a tenant can make, by collection."""

    def made(path: str, key: str, body: dict[str, object], token: str = owner.token) -> str:
        told = cloud.call("POST", f"/v2.0/{path}", {key: body}, token)
        assert told.status == 201, told.body
        return str(told.json[key]["id"])

    ids = {"networks": made("networks", "network", {"name": "mine"})}
    subnet = {"network_id": ids["networks"], "ip_version": 4, "cidr": "10.1.0.0/24"}
    ids["subnets"] = made("subnets", "subnet", subnet)
    ids["ports"] = made("ports", "port", {"network_id": ids["networks"]})
    ids["security-groups"] = made("security-groups", "security_group", {"name": "mine"})
    rule = {"security_group_id": ids["security-groups"], "direction": "ingress"}
    ids["security-group-rules"] = made("security-group-rules", "security_group_rule", rule)
    ids["routers"] = made("routers", "router", {"name": "mine"})
    outside = made("networks", "network", {"router:external": True}, cloud.admin.token)
    made("subnets", "subnet", {"network_id": outside, "ip_version": 4, "cidr": "192.0.2.0/24"}, cloud.admin.token)
    ids["floatingips"] = made("floatingips", "floatingip", {"floating_network_id": outside})
    ids["qos/policies"] = made("qos/policies", "policy", {"project_id": owner.project_id}, cloud.admin.token)
    return ids


def test_nothing_of_a_tenant_is_there_for_another(cloud: Cloud) -> None:
    owner, stranger = cloud.account("owner"), cloud.account("stranger")
    things = things_of(cloud, owner)
    assert set(things) == set(RESOURCES)
    for path, id_ in things.items():
        spec = RESOURCES[path].spec
        assert cloud.call("GET", f"/v2.0/{path}/{id_}", token=owner.token).status == 200
        ways: list[tuple[str, str, object]] = [
            ("GET", id_, None), ("PUT", id_, {spec.singular: {}}), ("DELETE", id_, None)
        ]  # fmt: skip
        ways += [("PUT", f"{id_}/{action}", {}) for action in RESOURCES[path].actions]
        ways += [("GET", f"{id_}/{child}", None) for child in RESOURCES[path].children]
        for method, tail, body in ways:
            if method == "PUT" and tail == id_ and RESOURCES[path].update is None:
                continue
            told = cloud.call(method, f"/v2.0/{path}/{tail}", body, stranger.token)
            assert told.status == 404, (method, path, tail, told.body)
        for query in ("", f"?id={id_}", f"?project_id={owner.project_id}"):
            listed = cloud.call("GET", f"/v2.0/{path}{query}", token=stranger.token).json[spec.plural]
            assert id_ not in [one["id"] for one in listed], path
        told = cloud.call("GET", f"/v2.0/{path}?limit=5&marker={id_}", token=stranger.token)
        assert told.status == 404, path


def test_a_tenants_things_cannot_be_used_by_another(cloud: Cloud) -> None:
    owner, stranger = cloud.account("owner"), cloud.account("stranger")
    things = things_of(cloud, owner)
    own = things_of(cloud, stranger)
    rule = {"security_group_id": own["security-groups"], "direction": "ingress"}
    foreign_group = {**rule, "security_group_id": things["security-groups"]}
    foreign_remote = {**rule, "remote_group_id": things["security-groups"]}
    uses: list[tuple[str, str, dict[str, object]]] = [
        ("POST", "subnets", {"subnet": {"network_id": things["networks"], "ip_version": 4, "cidr": "10.7.0.0/24"}}),
        ("POST", "ports", {"port": {"network_id": things["networks"]}}),
        ("POST", "ports", {"port": {"network_id": own["networks"], "security_groups": [things["security-groups"]]}}),
        ("POST", "ports", {"port": {"network_id": own["networks"], "qos_policy_id": things["qos/policies"]}}),
        ("POST", "ports", {"port": {"network_id": own["networks"], "fixed_ips": [{"subnet_id": things["subnets"]}]}}),
        ("PUT", f"ports/{own['ports']}", {"port": {"security_groups": [things["security-groups"]]}}),
        ("POST", "security-group-rules", {"security_group_rule": foreign_group}),
        ("POST", "security-group-rules", {"security_group_rule": foreign_remote}),
        ("POST", "routers", {"router": {"external_gateway_info": {"network_id": things["networks"]}}}),
        ("PUT", f"routers/{own['routers']}/add_router_interface", {"subnet_id": things["subnets"]}),
        ("PUT", f"routers/{own['routers']}/add_router_interface", {"port_id": things["ports"]}),
        ("PUT", f"floatingips/{own['floatingips']}", {"floatingip": {"port_id": things["ports"]}}),
        ("PUT", f"networks/{own['networks']}", {"network": {"qos_policy_id": things["qos/policies"]}}),
    ]  # fmt: skip
    for method, path, body in uses:
        told = cloud.call(method, f"/v2.0/{path}", body, stranger.token)
        assert told.status in (400, 403, 404), (method, path, body, told.body)
    for path in RESOURCES:
        spec = RESOURCES[path].spec
        if "project_id" in {attribute.name for attribute in spec.attributes if attribute.post}:
            body = {
                "project_id": owner.project_id,
                "network_id": own["networks"],
                "ip_version": 4,
                "cidr": "10.9.0.0/24",
            }
            body |= {"security_group_id": own["security-groups"], "direction": "ingress", "protocol": "tcp"}
            body |= {"floating_network_id": own["networks"]}
            known = {attribute.name for attribute in spec.attributes}
            sent = {spec.singular: {name: value for name, value in body.items() if name in known}}
            told = cloud.call("POST", f"/v2.0/{path}", sent, stranger.token)
            made = told.json.get(spec.singular, {}).get("project_id")
            assert told.status in (400, 403, 404) or made == stranger.project_id, (path, told.body)
