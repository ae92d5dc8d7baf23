"""Why can't A reach B: questions about a small cloud on two hosts, and what operators and tenants are told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from suimon.api.operations import allowance
from suimon.api.operations.reachability import Told
from suimon.model.actor import SYSTEM
from suimon.model.things import Host
from suimon.model.view import AddressPair, Claim, PortReport
from suimon.resources import hosts, virtual_addresses
from tests.api.cloud import Answer, Cloud

OUTSIDE = "203.0.113.9"
STUB = (("sub2", "10.2.0.90"), ("sub2-6", "2001:db8:2::90"))


class Small:
    """Two hosts, two networks with a router between them, which the second host leads to the outside, and ports with
    all sorts of groups.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.anna, self.bert = cloud.account("anna"), cloud.account("bert")
        self.ids: dict[str, str] = {}
        self._projects = {"anna": self.anna, "bert": self.bert, "admin": cloud.admin}
        self._numbers = count(1)
        for number, name in enumerate(("h1", "h2"), 1):
            host = Host(
                name=name,
                tunnel_ip=f"192.0.2.{number}",
                physnets=("physnet1",) if name == "h2" else (),
                joined_at=datetime(2026, 1, 1, tzinfo=UTC),
            )
            cloud.run(cloud.store.write(lambda tx, host=host: tx.insert(host), SYSTEM))
        self._networks()
        self._groups()
        self._ports()

    def make(self, kind: str, name: str, by: str = "anna", **body: Any) -> dict[str, Any]:
        singular = kind.replace("-", "_").removesuffix("s").replace("policie", "policy").rpartition("/")[2]
        given = body if kind.endswith("rules") else {"name": name, **body}
        if kind == "floatingips":
            given = body
        told = self.cloud.call("POST", f"/v2.0/{kind}", {singular: given}, self._projects[by].token)
        assert told.status == 201, (kind, told.body)
        made: dict[str, Any] = told.json[singular]
        self.ids[name] = made["id"]
        return made

    def put(self, path: str, body: object) -> None:
        told = self.cloud.call("PUT", f"/v2.0/{path}", body, self.cloud.admin.token)
        assert told.status == 200, told.body

    def ask(self, source: str, target: str, by: str = "admin", **more: Any) -> Answer:
        body = {"from": self.ids.get(source, source), "to": self.ids.get(target, target), **more}
        return self.cloud.call("POST", "/operations/v1/reachability", body, self._projects[by].token)

    def named(self, text: str) -> str:
        for name, id_ in self.ids.items():
            text = text.replace(id_, name)
        return text

    def _networks(self) -> None:
        self.make("networks", "net1")
        self.make("networks", "net2")
        outside = {"router:external": True, "provider:network_type": "vlan", "provider:physical_network": "physnet1"}
        self.make("networks", "public", "admin", **outside, **{"provider:segmentation_id": 100})
        self._subnet("sub1", "net1", "10.1.0.0/24")
        self._subnet("sub2", "net2", "10.2.0.0/24")
        self._subnet("sub1-6", "net1", "2001:db8:1::/64")
        self._subnet("sub2-6", "net2", "2001:db8:2::/64")
        self._subnet("pub", "public", "198.51.100.0/24", "admin")
        gateway = {"network_id": self.ids["public"]}
        made = self.make("routers", "router", external_gateway_info=gateway)
        self.ids["router-ip"] = made["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
        for subnet in ("sub1", "sub2", "sub1-6", "sub2-6"):
            self.put(f"routers/{self.ids['router']}/add_router_interface", {"subnet_id": self.ids[subnet]})
        self._stub()

    def _stub(self) -> None:
        """A router beside the other one on its second network, which hosts without ports there are told the leg of."""
        self.make("routers", "stub")
        fixed = [{"subnet_id": self.ids[name], "ip_address": ip} for name, ip in STUB]
        self.make("ports", "stub-leg", network_id=self.ids["net2"], fixed_ips=fixed)
        self.put(f"routers/{self.ids['stub']}/add_router_interface", {"port_id": self.ids["stub-leg"]})

    def _subnet(self, name: str, network: str, cidr: str, by: str = "anna") -> None:
        self.make("subnets", name, by, network_id=self.ids[network], ip_version=6 if ":" in cidr else 4, cidr=cidr)

    def _groups(self) -> None:
        self.make("security-groups", "web")
        self.make("security-groups", "closed")
        self._rule("web-tcp80", "web", protocol="tcp", port_range_min=80, port_range_max=80)
        self._rule("web6-tcp80", "web", ethertype="IPv6", protocol="tcp", port_range_min=80, port_range_max=80)
        self._rule("web6-ping", "web", ethertype="IPv6", protocol="icmpv6", remote_group_id=self.ids["web"])
        self._rule("web-self", "web", protocol="udp", remote_group_id=self.ids["web"])
        self.make("qos/policies", "guarded", "admin", shared=True)
        block = {"direction": "ingress", "protocol": "tcp", "port_range_min": 25, "port_range_max": 25}
        path = f"/v2.0/qos/policies/{self.ids['guarded']}/port_block_rules"
        told = self.cloud.call("POST", path, {"port_block_rule": block}, self.cloud.admin.token)
        assert told.status == 201, told.body
        self.ids["no-mail"] = told.json["port_block_rule"]["id"]

    def _rule(self, name: str, group: str, **rule: Any) -> None:
        body = {"security_group_id": self.ids[group], "direction": "ingress", "ethertype": "IPv4", **rule}
        self.make("security-group-rules", name, **body)

    def _ports(self) -> None:
        for name, network, host, group in (
            ("a", "net1", "h1", "web"),
            ("b", "net1", "h2", "web"),
            ("c", "net2", "h2", "web"),
            ("d", "net1", "h2", "closed"),
            ("down", "net1", "h2", "web"),
            ("off", "net1", "h1", "web"),
            ("unbound", "net1", "", "web"),
        ):
            self._port(name, network, host, group)
        self.put(f"ports/{self.ids['off']}", {"port": {"admin_state_up": False}})
        self.put(f"ports/{self.ids['b']}", {"port": {"qos_policy_id": self.ids["guarded"]}})
        for name, more in (("fip", {"port_id": self.ids["c"]}), ("fwd", {}), ("loose", {})):
            made = self.make("floatingips", name, floating_network_id=self.ids["public"], **more)
            self.ids[f"{name}-ip"] = made["floating_ip_address"]
        for outer, name in ((8080, "b"), (8081, "a"), (8022, "d")):
            inner = {"internal_port_id": self.ids[name], "internal_ip_address": self.ids[f"{name}-ip"]}
            ports = {"protocol": "tcp", "external_port": outer, "internal_port": 80 if outer > 8022 else 22}
            path = f"/v2.0/floatingips/{self.ids['fwd']}/port_forwardings"
            told = self.cloud.call("POST", path, {"port_forwarding": inner | ports}, self.anna.token)
            assert told.status == 201, told.body
        self._virtual("vip", "b")
        self._report("h1", "a", "off")
        self._report("h2", "b", "c", "d")
        self._report("h2", "down", status="DOWN", reason="no interface is plugged")

    def _virtual(self, name: str, holder: str) -> None:
        """An address that is kept by a port and had by the guest of another."""
        self._port(name, "net1", "", "web")
        ips = [self.ids[name + "-ip"], self.ids[name + "-ip6"]]
        self.put(f"ports/{self.ids[holder]}", {"port": {"allowed_address_pairs": [{"ip_address": ip} for ip in ips]}})
        mac = self.cloud.call("GET", f"/v2.0/ports/{self.ids[holder]}", token=self.cloud.admin.token).json["port"]
        said = [Claim(self.ids[holder], AddressPair(mac["mac_address"], ip)) for ip in ips]
        self.cloud.run(self.cloud.store.write(lambda tx: virtual_addresses.note_claims(tx, "h2", said), SYSTEM))
        made = self.make("floatingips", "vip-fip", floating_network_id=self.ids["public"], port_id=self.ids[name])
        self.ids["vip-fip-ip"] = made["floating_ip_address"]

    def _port(self, name: str, network: str, host: str, group: str) -> None:
        made = self.make("ports", name, network_id=self.ids[network], security_groups=[self.ids[group]])
        for fixed in made["fixed_ips"]:
            self.ids[f"{name}-ip6" if ":" in fixed["ip_address"] else f"{name}-ip"] = fixed["ip_address"]
        self.put(f"ports/{made['id']}", {"port": {"binding:host_id": host}})

    def _report(self, host: str, *names: str, status: str = "ACTIVE", reason: str = "") -> None:
        said = [PortReport(self.ids[name], status, reason) for name in names]  # type: ignore[arg-type]
        self.cloud.run(self.cloud.store.write(lambda tx: hosts.set_port_status(tx, host, said), SYSTEM))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    cloud = Cloud(Path(tmp_path_factory.mktemp("cloud")))
    try:
        yield Small(cloud)
    finally:
        cloud.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "_BURST", 10**6)


WEB = {"protocol": "tcp", "port": 80}
TCP = {"protocol": "tcp"}
SSH = TCP | {"port": 22}
TABLE: list[tuple[str, str, dict[str, Any], str]] = [
    ("a", "b", WEB, "reached: allowed security_group_rule, forwarded, allowed web-tcp80, delivered b"),
    ("a", "b-ip", WEB, "reached: allowed security_group_rule, forwarded, allowed web-tcp80, delivered b"),
    ("a", "b", {"protocol": "udp", "port": 53}, "reached: allowed security_group_rule, forwarded, allowed web-self, "
     "delivered b"),
    ("a", "b-ip6", WEB, "reached: allowed security_group_rule, forwarded, allowed web6-tcp80, delivered b"),
    ("a", "b-ip6", {}, "reached: allowed security_group_rule, forwarded, allowed web6-ping, delivered b"),
    ("a", "c-ip6", WEB, "reached: allowed security_group_rule, routed router, forwarded, allowed web6-tcp80, "
     "delivered c"),
    ("a", "b-ip6", SSH, "not: allowed security_group_rule, forwarded, dropped web: no ingress rule allows tcp/22 from "
     "a-ip6 to b-ip6 (security groups web)"),
    ("a", "b-ip6", WEB | {"as_ip": "2001:db8:1::f:77"}, "not: dropped a: the port may not send as "
     "2001:db8:1::f:77 from"),
    ("a", "2001:db8:9::1", WEB, "not: allowed security_group_rule, dropped router: the router has no route to "
     "2001:db8:9::1"),
    ("a", "b", SSH, "not: allowed security_group_rule, forwarded, dropped web: no ingress rule allows tcp/22 from a-ip "
     "to b-ip (security groups web)"),
    ("a", "d", WEB, "not: allowed security_group_rule, forwarded, dropped closed: no ingress rule allows tcp/80 from "
     "a-ip to d-ip (security groups closed)"),
    ("a", "b", {"protocol": "tcp", "port": 25}, "not: allowed security_group_rule, forwarded, dropped no-mail: blocked "
     "by the port's QoS policy guarded, rule no-mail"),
    ("a", "c", WEB, "reached: allowed security_group_rule, routed router, forwarded, allowed web-tcp80, delivered c"),
    ("a", "b", WEB | {"as_ip": "192.0.2.77"}, "not: dropped a: the port may not send as 192.0.2.77 from a-mac"),
    ("a", "down", WEB, "not: allowed security_group_rule, forwarded, dropped down: the port is DOWN: no interface is "
     "plugged"),
    ("down", "a", WEB, "not: dropped down: the port is DOWN: no interface is plugged"),
    ("off", "a", WEB, "not: dropped off: the port is administratively down"),
    ("a", "off", WEB, "not: allowed security_group_rule, allowed web-tcp80, dropped off: the port or its network is "
     "administratively down"),
    ("a", "unbound", WEB, "not: dropped unbound: the port is bound to no host"),
    ("a", "vip", WEB, "reached: allowed security_group_rule, forwarded, allowed web-tcp80, delivered b"),
    ("a", "vip-ip", WEB, "reached: allowed security_group_rule, forwarded, allowed web-tcp80, delivered b"),
    ("a", "vip-ip6", WEB, "reached: allowed security_group_rule, forwarded, allowed web6-tcp80, delivered b"),
    ("c", "vip-ip", WEB, "reached: allowed security_group_rule, routed router, allowed web-tcp80, delivered b"),
    (OUTSIDE, "vip-fip-ip", WEB, "reached: translated vip-fip, allowed web-tcp80, delivered b"),
    ("c", OUTSIDE, {}, "reached: allowed security_group_rule, routed router, translated fip, forwarded"),
    (OUTSIDE, "c", WEB, "reached: translated fip, allowed web-tcp80, delivered c"),
    (OUTSIDE, "c", SSH, "not: translated fip, dropped web: no ingress rule allows tcp/22 from 203.0.113.9"),
    (OUTSIDE, "d", WEB, "not: dropped d: the port has no floating IP"),
    ("a", OUTSIDE, WEB, "reached: allowed security_group_rule, routed router, forwarded, translated router, forwarded"),
    ("c", "8.8.8.8", WEB, "reached: allowed security_group_rule, routed router, translated fip, forwarded"),
    ("b", OUTSIDE, {}, "reached: allowed security_group_rule, routed router, translated router, forwarded"),
    ("a", "fip-ip", WEB, "reached: allowed security_group_rule, routed router, forwarded, translated router, "
     "translated fip, allowed web-tcp80, delivered c"),
    ("a", "fwd-ip", TCP | {"port": 8080}, "reached: allowed security_group_rule, routed router, forwarded, translated "
     "router, routed router, allowed web-tcp80, delivered b"),
    ("a", "loose-ip", WEB, "not: allowed security_group_rule, routed router, forwarded, translated router, dropped "
     "public: nobody on the network has the next hop loose-ip"),
    ("a", "router-ip", {}, "reached: allowed security_group_rule, routed router, forwarded, answered router"),
    ("a", "10.1.0.1", {}, "reached: allowed security_group_rule, answered router"),
    ("a", "10.2.0.1", {}, "reached: allowed security_group_rule, answered router"),
    ("a", "10.2.0.1", WEB, "not: allowed security_group_rule, dropped router: 10.2.0.1 is the router's own address: it "
     "answers ping only"),
    ("a", "10.2.0.90", {}, "reached: allowed security_group_rule, routed router, answered stub"),
    ("a", "2001:db8:2::90", {}, "reached: allowed security_group_rule, routed router, answered stub"),
    ("a", "stub-leg", {}, "reached: allowed security_group_rule, routed router, answered stub"),
    ("a", "10.2.0.90", WEB, "not: allowed security_group_rule, routed router, dropped stub: 10.2.0.90 is the router's "
     "own address: it answers ping only"),
    ("a", "2001:db8:2::90", WEB, "not: allowed security_group_rule, routed router, dropped stub: 2001:db8:2::90 is the "
     "router's own address: it answers ping only"),
    ("c", "10.2.0.90", {}, "reached: allowed security_group_rule, answered stub"),
    ("c", "10.2.0.90", WEB, "not: allowed security_group_rule, dropped stub: 10.2.0.90 is the router's own address"),
    ("b", "10.2.0.90", {}, "reached: allowed security_group_rule, routed router, answered stub"),
    (OUTSIDE, "fip-ip", WEB, "reached: translated fip, allowed web-tcp80, delivered c"),
    (OUTSIDE, "fwd-ip", TCP | {"port": 8080}, "reached: translated router, routed router, allowed web-tcp80, "
     "delivered b"),
    (OUTSIDE, "fwd-ip", TCP | {"port": 8081}, "reached: translated router, routed router, forwarded, allowed "
     "web-tcp80, delivered a"),
    (OUTSIDE, "a", WEB, "reached: translated router, routed router, forwarded, allowed web-tcp80, delivered a"),
    (OUTSIDE, "fwd-ip", TCP | {"port": 8022}, "not: translated router, routed router, dropped closed: no ingress rule "
     "allows tcp/22"),
    (OUTSIDE, "fwd-ip", SSH, "not: dropped router: one of the router's own addresses, and no L4 port that is "
     "forwarded"),
    (OUTSIDE, "router-ip", {}, "reached: answered router, forwarded"),
    (OUTSIDE, "router-ip", WEB, "not: dropped router: one of the router's own addresses"),
    (OUTSIDE, "loose-ip", WEB, "not: dropped loose: the floating IP is associated with no port"),
    (OUTSIDE, "198.51.100.199", WEB, "not: dropped public: nobody on the external network has 198.51.100.199"),
]  # fmt: skip


@pytest.mark.parametrize("source, target, more, expected", TABLE)
def test_the_verdict_and_who_decided(
    small: Small, source: str, target: str, more: dict[str, Any], expected: str
) -> None:
    told = small.ask(source, target, **more)
    assert told.status == 200, told.body
    shown = told.json["reachability"]
    text = ("reached" if shown["reached"] else "not") + ": " + ", ".join(map(_line, shown["there"]))
    text = small.named(text)
    mac = small.cloud.call("GET", f"/v2.0/ports/{small.ids['a']}", token=small.cloud.admin.token).json["port"]
    assert text.replace(mac["mac_address"], "a-mac").startswith(expected), text
    if shown["reached"] and "answered" not in text:
        assert shown["back"][-1]["what"] in ("delivered", "forwarded"), shown["back"]


def test_a_legs_answer_comes_back_or_is_dropped_like_any(small: Small) -> None:
    told = small.ask("a", "10.2.0.90").json["reachability"]
    assert [hop["what"] for hop in told["back"]] == ["routed", "allowed", "delivered"]
    small.make("security-groups", "blind", stateful=False)
    small._port("e", "net1", "h1", "blind")
    small._report("h1", "e")
    told = small.ask("e", "10.2.0.90").json["reachability"]
    assert told["there"][-1]["what"] == "answered" and not told["reached"]
    assert "no ingress rule allows icmp from 10.2.0.90" in told["back"][-1]["words"]


def _line(hop: dict[str, Any]) -> str:
    resource = hop.get("resource") or {"kind": "", "id": ""}
    if hop["what"] == "allowed" and hop["stage"] == "rules_out":
        return f"allowed {resource['kind']}"
    said = f"{hop['what']} {resource['id']}".strip()
    return f"{said}: {hop['words']}" if hop["what"] == "dropped" else said


def test_a_resource_is_named_with_its_project_and_the_change_that_brought_it(small: Small) -> None:
    hop = small.ask("a", "b", **SSH).json["reachability"]["there"][-1]
    assert hop["host"] == "h2" and hop["stage"] == "allow_in"
    resource = hop["resource"]
    assert (resource["kind"], resource["project_id"]) == ("security_group", small.anna.project_id)
    assert resource["revision"] > 0 and resource["request_id"].startswith("req-")


def test_a_tenant_is_told_his_own_half(small: Small) -> None:
    small.make("networks", "shared", "admin", shared=True)
    small._subnet("ours", "shared", "10.9.0.0/24", "admin")
    small.make("ports", "his", "bert", network_id=small.ids["shared"])
    made = small.make("ports", "hers", "anna", network_id=small.ids["shared"], security_groups=[small.ids["closed"]])
    small.ids["hers-ip"] = made["fixed_ips"][0]["ip_address"]
    for name, host in (("his", "h1"), ("hers", "h2")):
        small.put(f"ports/{small.ids[name]}", {"port": {"binding:host_id": host}})
        small._report(host, name)
    his = small.ask("his", "hers", "bert", **WEB)
    there = his.json["reachability"]["there"]
    assert there[-1] == {"what": "dropped", "words": "refused by the destination"}
    assert there[0]["what"] == "allowed" and there[0]["resource"]["project_id"] == small.bert.project_id
    hers = small.ask("his", "hers", "anna", **WEB)
    last = hers.json["reachability"]["there"][-1]
    assert (last["what"], last["resource"]["id"]) == ("dropped", small.ids["closed"])
    for told, foreign in ((his, ("closed", "hers")), (hers, ("his",))):
        for name in foreign:
            assert small.ids[name].encode() not in told.body, name
        for host in (b'"h1"', b'"h2"', b"physnet"):
            assert host not in told.body
    lies = small.ask("his", "hers", "anna", **WEB, as_ip="10.9.0.250").json["reachability"]["there"]
    assert lies == [{"what": "dropped", "words": "not reached"}]


def test_nobody_asks_about_ports_of_others(small: Small) -> None:
    assert small.ask("a", "b", "bert").error[0] == 404
    assert small.ask("a", OUTSIDE, "bert").error[0] == 404
    assert small.ask("no-such-port", "a", "bert").error[0] == 404
    assert small.ask("a", "b", "anna", trace=True).error[0] == 403
    assert small.ask("192.0.2.7", OUTSIDE).error[0] == 400
    assert small.ask("a", "b", protocol="sctp").error[0] == 400
    assert small.ask("a", "b", protocol="tcp").error[0] == 400


def test_a_tenant_probes_between_his_own_ports_and_hears_of_no_switch(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Compared:
        async def compare(self, told: Told) -> dict[str, object]:
            return {"trace": {"legs": [{"host": "h1"}]}, "findings": ["on h1 they differ"]}

    class Probed:
        async def probe(self, told: Told) -> dict[str, object]:
            return {"arrived": False, "words": "was not seen at its destination"}

    service = small.cloud.services["operations"]
    handler = service._routes.find("POST", ("v1", "reachability"))[0].__self__  # type: ignore[attr-defined]
    monkeypatch.setattr(handler, "_checks", (Compared(), Probed()))
    told = small.ask("a", "b", "anna", **WEB, probe=True)
    shown = told.json["reachability"]
    assert shown["probe"]["arrived"] is False and len(shown["findings"]) == 1
    assert "the probe was not seen" in shown["findings"][0]
    assert "trace" not in shown and b'"h1"' not in told.body
    assert len(small.ask("a", "b", **WEB, probe=True).json["reachability"]["findings"]) == 2
    small.make("ports", "foreign", "bert", network_id=small.make("networks", "his-net", "bert")["id"])
    assert small.ask("a", OUTSIDE, "anna", **WEB, probe=True).status == 403
    assert small.ask("a", "foreign", "anna", probe=True).status in (400, 403, 404)
    monkeypatch.setattr(allowance, "_BURST", 6)
    monkeypatch.setattr(handler, "_allowance", allowance.Allowance())
    assert [small.ask("a", "b", "anna", probe=True).status for _ in range(2)] == [200, 429]


def test_a_question_costs_and_is_counted_by_project(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "_BURST", 2)
    service = small.cloud.services["operations"]
    handler = service._routes.find("POST", ("v1", "reachability"))[0]  # type: ignore[attr-defined]
    handler.__self__._allowance._spent.clear()
    assert [small.ask("a", "b", by).status for by in ("anna", "anna", "anna")] == [200, 200, 429]
    assert [small.ask("a", "b").status for _ in range(4)] == [200] * 4
    handler.__self__._allowance._spent.clear()


def test_what_is_read_does_not_grow_with_the_networks(small: Small) -> None:
    _, before = small.cloud.counted(lambda: small.ask("a", "b", **WEB))
    for number in range(20):
        small._port(f"more{number}", "net1", "h9", "web")
    told, after = small.cloud.counted(lambda: small.ask("a", "b", **WEB))
    assert told.json["reachability"]["reached"] and len(after) == len(before)


def test_a_tenants_half_goes_by_his_router_to_the_outside(small: Small) -> None:
    small.make("networks", "bert-net", "bert")
    small._subnet("bert-sub", "bert-net", "10.1.0.0/24", "bert")
    small.make("routers", "bert-router", "bert", external_gateway_info={"network_id": small.ids["public"]})
    told = small.cloud.call(
        "PUT",
        f"/v2.0/routers/{small.ids['bert-router']}/add_router_interface",
        {"subnet_id": small.ids["bert-sub"]},
        small.bert.token,
    )
    assert told.status == 200
    small.make("ports", "bert-port", "bert", network_id=small.ids["bert-net"])
    small.put(f"ports/{small.ids['bert-port']}", {"port": {"binding:host_id": "h1"}})
    small._report("h1", "bert-port")
    for target, l4_port, ends in (("fip-ip", 22, "dropped"), ("fwd-ip", 8080, "delivered"), ("fwd-ip", 9, "dropped")):
        his = small.ask("bert-port", target, "bert", **TCP, port=l4_port)
        there = his.json["reachability"]["there"]
        named = [(hop["what"], small.named(hop.get("resource", {}).get("id", ""))) for hop in there]
        assert named[1:] == [("routed", "bert-router"), ("forwarded", ""), ("translated", "bert-router"), (ends, "")]
        for name in ("router", "fip", "fwd", "c", "b", "web"):
            assert small.ids[name].encode() not in his.body, name
    hers = small.ask("bert-port", "fip-ip", "anna", **SSH).json["reachability"]["there"]
    assert [small.named(hop["resource"]["id"]) for hop in hers] == ["fip", "web"]
    assert small.ask(OUTSIDE, "fip-ip", "anna", **WEB).json["reachability"]["reached"]
    assert small.ask(OUTSIDE, "fip-ip", "bert", **WEB).error[0] == 404
    assert small.ask(OUTSIDE, "198.51.100.199", "anna", **WEB).error[0] == 404
    assert small.ask(OUTSIDE, "loose-ip", "anna", **WEB).json["reachability"]["reached"] is False


@pytest.mark.parametrize(
    ("target_kind", "target", "given", "stage", "words"),
    [
        ("port", "a", {"kind": "quarantine"}, "block_out", "in quarantine by the operator, until it is released: spam"),
        ("project", "anna", {"kind": "port_block", "protocol": "tcp", "port_min": 80}, "block_out", "blocked by the"),
        ("address", "fip-ip", {"kind": "quarantine"}, "block_out", "in quarantine by the operator"),
        ("outside_address", OUTSIDE, {"kind": "port_block"}, "block_out", "blocked by the operator"),
    ],
)
def test_a_restriction_is_named_with_its_reason_and_its_end(
    small: Small, target_kind: str, target: str, given: dict[str, Any], stage: str, words: str
) -> None:
    named = {**small.ids, "anna": small.anna.project_id}
    body = {"target_kind": target_kind, "target": named.get(target, target), "reason": "spam", **given}
    call, path, admin = small.cloud.call, "/operations/v1/restrictions", small.cloud.admin.token
    answer = call("POST", path, {"restriction": body}, admin)
    assert answer.status == 201, answer.body
    made = answer.json["restriction"]
    asked = {"outside_address": ("a", OUTSIDE), "address": ("c", "b")}.get(target_kind, ("a", "b"))
    told = {who: small.ask(*asked, who, **WEB).json["reachability"]["there"][-1] for who in ("admin", "anna")}
    assert call("POST", f"{path}/{made['id']}/release", {"why": "seen"}, admin).status == 200
    last = told["admin"]
    assert (last["what"], last["stage"]) == ("dropped", stage) and last["words"].startswith(words)
    assert (last["resource"]["kind"], last["resource"]["id"]) == ("restriction", made["id"])
    if target_kind == "outside_address":
        assert told["anna"]["words"] == "dropped by a restriction that isn't yours"
    else:
        assert (told["anna"]["words"], told["anna"]["resource"]["id"]) == (last["words"], made["id"])
    assert small.ask(*asked, **WEB).json["reachability"]["reached"] is True


def test_of_a_restriction_of_anothers_network_a_tenant_is_told_the_reason_alone(small: Small) -> None:
    small.make("networks", "lent", "admin", shared=True)
    small._subnet("lent4", "lent", "10.8.0.0/24", "admin")
    for name in ("guest", "guest2"):
        small.make("ports", name, "bert", network_id=small.ids["lent"])
        small.put(f"ports/{small.ids[name]}", {"port": {"binding:host_id": "h1"}})
        small._report("h1", name)
    body = {"target_kind": "network", "target": small.ids["lent"], "kind": "quarantine", "reason": "worm"}
    told = small.cloud.call("POST", "/operations/v1/restrictions", {"restriction": body}, small.cloud.admin.token)
    last = small.ask("guest", "guest2", "bert", **WEB).json["reachability"]["there"][-1]
    assert last["words"].endswith("worm") and "resource" not in last
    id_ = told.json["restriction"]["id"]
    seen = small.cloud.call("GET", f"/operations/v1/restrictions/{id_}", token=small.bert.token)
    assert seen.json["restriction"]["reason"] == "worm"
