"""Whatever is sent, the answer is an answer: never a 500, never something of our inside, never another tenant's."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suimon.api.wire import BODY_LIMIT_BYTES, QUERY_LIMIT
from suimon.model.errors import Unavailable
from suimon.resources.registry import RESOURCES
from tests.api.cloud import Account, Answer, Cloud
from tests.api.matrix_table import TABLE
from tests.api.matrix_things import policy, reached
from tests.api.personas import CANARY, Stage

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


def test_a_key_that_comes_twice_counts_once_and_the_last_time(shared_cloud: Cloud) -> None:
    body = b'{"network": {"name": "a"}, "network": {"name": "b", "name": "c", "name": "d"}}'
    told = shared_cloud.call("POST", "/v2.0/networks", body, shared_cloud.admin.token)
    assert (told.status, told.json["network"]["name"]) == (201, "d")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "multipart/form-data; boundary=x", "\u00fc"])
def test_a_body_is_json_whatever_it_is_called(shared_cloud: Cloud, kind: str) -> None:
    def sent(body: bytes) -> Answer:
        return shared_cloud.call("POST", "/v2.0/networks", body, shared_cloud.admin.token, {"content-type": kind})

    assert sent(b'{"network": {}}').status == 201
    assert sent(b"<network/>").error == (400, "HTTPBadRequest", "Body contains invalid data")


@pytest.mark.parametrize("path", ["/v2.0/networks", "/identity/v3/auth/tokens"])
@pytest.mark.parametrize("packed", ["gzip", "deflate, gzip", "br", "\u00fc" * 9000])
def test_a_packed_body_is_refused_and_not_unpacked(shared_cloud: Cloud, path: str, packed: str) -> None:
    body = gzip.compress(b'{"network": {}}')
    told = shared_cloud.call("POST", path, body, shared_cloud.admin.token, {"content-encoding": packed})
    title = "Unsupported Media Type" if "identity" in path else "HTTPUnsupportedMediaType"
    words = f"A request body with the Content-Encoding {packed[:20]} is not unpacked."
    assert told.error == (415, title, words)
    plain = {"content-encoding": "identity"}
    told = shared_cloud.call("POST", "/v2.0/networks", {"network": {}}, shared_cloud.admin.token, plain)
    assert told.status == 201


@pytest.mark.parametrize("path", sorted(path for path, resource in RESOURCES.items() if resource.list))
def test_no_crowd_of_parameters_makes_a_server_fault(shared_cloud: Cloud, path: str) -> None:
    """As many as a head has room for: of every filter, of tags, of keys to sort by, behind a marker."""
    spec = RESOURCES[path].spec
    names = sorted({attribute.name for attribute in spec.attributes} | set(spec.special_filters))
    queries = ["&".join(f"{name}={n}" for n in range(QUERY_LIMIT)) for name in names]
    queries += [f"{name}=" + "1" * 60_000 for name in [*names, "limit", "marker", "page_reverse", "sort_key"]]
    queries += [f"{name}=" + ",".join(map(str, range(9000))) for name in ("tags", "tags-any", "not-tags-any")]
    queries += ["limit=1&marker=x&" + "sort_key=id&sort_dir=asc&" * (QUERY_LIMIT // 2 - 1), "fields=id&" * QUERY_LIMIT]
    for query in queries:
        assert_fair(shared_cloud, "GET", f"/v2.0/{path}?{query}", None, shared_cloud.admin.token)
    assert_fair(shared_cloud, "GET", f"/v2.0/{path}/{'1' * 60_000}", None, shared_cloud.admin.token)


@pytest.mark.parametrize("key", ["ip_address", "ip_address_substr", "subnet_id"])
def test_ports_are_found_by_a_thousand_addresses(world: World, key: str) -> None:
    network = world.made("networks", {})
    subnet = world.made("subnets", {"network_id": network, "ip_version": 4, "cidr": "10.2.0.0/16"})
    port = world.made("ports", {"network_id": network, "fixed_ips": [{"ip_address": "10.2.0.77"}]})
    right = subnet if key == "subnet_id" else "10.2.0.77"
    texts = [f"10.2.1.{n}x" for n in range(QUERY_LIMIT - 2)]
    for values, found in (
        ([*texts, right], [port]),
        (texts, []),
        (["1" * 60_000], []),
        (["1" * 60_000, right], [port]),
    ):
        query = "&".join(f"fixed_ips={key}%3D{value}" for value in values)
        told = world.cloud.call("GET", f"/v2.0/ports?{query}&network_id={network}", token=world.cloud.admin.token)
        assert [one["id"] for one in told.json["ports"]] == found


def test_a_key_to_sort_by_counts_once_and_the_first_time(shared_cloud: Cloud) -> None:
    tag = "sorted"
    made = [
        shared_cloud.call("POST", "/v2.0/networks", {"network": {"name": name, "description": tag}}, token).json
        for token in [shared_cloud.admin.token]
        for name in "bcad"
    ]
    ids = {one["network"]["name"]: one["network"]["id"] for one in made}
    keys = "&sort_key=name&sort_dir=desc" + "&sort_key=name&sort_dir=asc" * 490
    path = f"/v2.0/networks?description={tag}&fields=name&marker={ids['c']}{keys}"
    began = time.monotonic()
    told = shared_cloud.call("GET", path, token=shared_cloud.admin.token)
    assert [one["name"] for one in told.json["networks"]] == ["b", "a"]
    assert time.monotonic() - began < 10, "the keys behind a marker are compared each with each"


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


def test_a_database_that_is_away_is_told_who_asks_for_health_by_a_line(
    shared_cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Unavailable("The database can't be reached.")

    monkeypatch.setattr(shared_cloud.store, "read", away)
    with structlog.testing.capture_logs() as logs:
        told = shared_cloud.call("GET", "/healthz")
    assert (told.status, told.json["reason"]) == (503, "The database can't be reached.")
    assert [log.get("exc_info") for log in logs if log["event"].startswith("store_un")] == [None]


def things_of(cloud: Cloud, owner: Account) -> dict[str, str]:
    """One of each kind of the tenant's that others are made of, by collection; test_matrix.py has all kinds."""

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


@pytest.fixture(scope="module")
def stage(shared_cloud: Cloud) -> Stage:
    return Stage(shared_cloud)


@pytest.mark.parametrize("path", sorted(path for path in RESOURCES if "o" not in TABLE[path].sees))
def test_nothing_of_a_tenant_is_there_for_another(stage: Stage, path: str) -> None:
    """A stranger is told the same of what is there as of what isn't. What everybody may see is of no tenant."""
    resource, id_ = RESOURCES[path], TABLE[path].new(stage)[-1]
    ways: list[tuple[str, str, object]] = [("GET", "", None), ("PUT", "", {resource.spec.singular: {}})]
    ways += [("PUT", f"/{action}", {}) for action in resource.actions]
    ways += [("GET", f"/{child}", None) for child in resource.children]
    for method, tail, body in [*ways, ("DELETE", "", None)]:
        told, nothing = (stage.do("o", method, f"{path}/{one}{tail}", body) for one in (id_, NOBODY))
        assert told.status in (403, 404, 405), (method, tail, told.body)
        assert (told.status, told.body.replace(id_.encode(), NOBODY.encode())) == (nothing.status, nothing.body)
    for query in ("", f"?id={id_}", f"?project_id={stage.red}", f"?name={CANARY}"):
        told = stage.do("o", "GET", f"{path}{query}")
        assert told.status != 200 or id_ not in [one.get("id") for one in told.json[resource.spec.plural]], query
    told, nothing = (stage.do("o", "GET", f"{path}?limit=5&marker={one}") for one in (id_, NOBODY))
    assert (told.status, told.body.replace(id_.encode(), NOBODY.encode())) == (nothing.status, nothing.body)


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


def test_nothing_is_made_of_or_below_what_is_a_tenants(stage: Stage) -> None:
    def ours(path: str, key: str, **body: object) -> str:
        return str(stage.made(path, key, {"name": "ours", **body}, "o")["id"])

    def reds(path: str) -> str:
        return TABLE[path].new(stage)[-1]

    network = ours("networks", "network")
    port, group = ours("ports", "port", network_id=network), ours("security-groups", "security_group")
    outside = stage.outside()
    floating_ip = str(stage.made("floatingips", "floatingip", {"floating_network_id": outside}, "o")["id"])
    rule = {"security_group_id": group, "direction": "ingress", "remote_address_group_id": reds("address-groups")}
    subport = {"port_id": stage.port(), "segmentation_type": "vlan", "segmentation_id": 5}
    forwarding = {"internal_port_id": stage.port(), "internal_ip_address": "10.0.0.2", "protocol": "tcp"}
    to_all = {"target_tenant": stage.blue, "action": "access_as_shared"}
    foreign_scope = {"address_scope_id": reds("address-scopes"), "prefixes": ["10.0.0.0/8"]}
    local_ip = reds("local_ips")
    for path, key, body in [
        ("security-group-rules", "security_group_rule", rule),
        ("subnets", "subnet", {"network_id": network, "ip_version": 4, "subnetpool_id": reds("subnetpools")}),
        ("subnetpools", "subnetpool", {"name": "x", **foreign_scope}),
        ("trunks", "trunk", {"port_id": stage.port()}),
        ("trunks", "trunk", {"port_id": port, "sub_ports": [subport]}),
        ("floatingips", "floatingip", {"floating_network_id": outside, "qos_policy_id": policy(stage)[0]}),
        (f"floatingips/{floating_ip}/port_forwardings", "port_forwarding",
         {**forwarding, "internal_port": 1, "external_port": 1}),
        (f"floatingips/{reached(stage)[0]}/port_forwardings", "port_forwarding",
         {**forwarding, "internal_port_id": port, "internal_port": 1, "external_port": 1}),
        ("local_ips", "local_ip", {"network_id": stage.network()}),
        ("local_ips", "local_ip", {"local_port_id": stage.port()}),
        (f"local_ips/{local_ip}/port_associations", "port_association", {"fixed_port_id": port}),
        ("ndp_proxies", "ndp_proxy", {"router_id": stage.router(), "port_id": port}),
        ("rbac-policies", "rbac_policy", {"object_type": "network", "object_id": stage.network(), **to_all}),
        ("rbac-policies", "rbac_policy", {"object_type": "qos_policy", "object_id": policy(stage)[0], **to_all}),
        (f"ports/{stage.port()}/bindings", "binding", {"host": "h"}),
        (f"routers/{stage.router()}/conntrack_helpers", "conntrack_helper",
         {"protocol": "udp", "port": 69, "helper": "tftp"}),
    ]:  # fmt: skip
        told = stage.do("o", "POST", path, {key: body})
        assert told.status == 404, (path, body, told.body)
        assert CANARY.encode() not in told.body
