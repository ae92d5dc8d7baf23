"""`suimon why A B --trace --probe`: the model's verdict, what the switches of two hypervisors say they would do, and
what they do with a real packet agree, pair by pair.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from suimon.cli.host import call
from suimon.lab.error import LabError
from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_GATEWAY
from tests.patience import patient
from tests.system.clouds import connect, eventually, outside_network, two_hypervisors

PORTS = {"a": "hv1", "b": "hv2", "near": "hv1", "closed": "hv2", "routed": "hv2", "down": "hv2"}
INTERNET = PUBLIC_GATEWAY


class Asked:
    """The lab and its ports by name, with a 4 or 6 their addresses; guests are plugged, `down` is not. `b` has a
    floating IP, `routed` an L4 port of another one. `virtual` is bound to no host: `near` claims its address, `lifted`
    is its floating IP. `leg` is another router's, on the network of `routed`.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.network = connect(lab).network
        self.ids: dict[str, str] = {}
        outside = outside_network(lab)
        router = self.network.create_router(name="between", external_gateway_info={"network_id": outside.id})
        networks = [self._network(number, router) for number in (40, 41)]
        web = self._group("web", (("tcp", 80), ("tcp", 25), ("icmp", None)))
        closed = self._group("closed", ())
        self._leg(networks[1])
        for name, host in PORTS.items():
            network_id, group = networks[name == "routed"], closed if name == "closed" else web
            self._port(name, host, network_id, group, plugged=name != "down")
        policy = self.network.create_qos_policy(name="no-mail")
        block = {"direction": "ingress", "protocol": "tcp", "port_range_min": 25, "port_range_max": 25}
        told = self.network.post(f"/qos/policies/{policy.id}/port_block_rules", json={"port_block_rule": block})
        assert told.status_code == 201, told.text
        self.network.update_port(self.ids["b"], qos_policy_id=policy.id)
        virtual = self.network.create_port(network_id=networks[0], name="virtual")
        self._note("virtual", virtual)
        self.network.update_port(self.ids["near"], allowed_address_pairs=[{"ip_address": self.ids["virtual4"]}])
        for name in ("floating", "forwarding", "lifted"):
            made = self.network.create_ip(floating_network_id=outside.id)
            self.ids |= {name: made.floating_ip_address, f"{name}-id": made.id}
        self.network.update_ip(self.ids["floating-id"], port_id=self.ids["b"])
        inner = {"internal_port_id": self.ids["routed"], "internal_ip_address": self.ids["routed4"]}
        l4 = {"protocol": "tcp", "external_port": 8080, "internal_port": 80}
        self.network.create_floating_ip_port_forwarding(self.ids["forwarding-id"], **inner, **l4)
        self.network.update_ip(self.ids["lifted-id"], port_id=virtual.id)
        self._lease("a", "b", "near")
        self._claim("near", self.ids["virtual4"])
        # Agents ask for a next hop outside when a guest uses it, and remember who answered.
        for name, address in (("a", INTERNET), ("b", INTERNET), ("a", self.ids["floating"]), ("a", self.ids["lifted"])):
            self.lab.guests.run(self.lab.guests.get(name), ["ping", "-c3", "-i0.2", "-W1", address])

    def ask(self, source: str, target: str, **more: object) -> dict[str, Any]:
        named = {name: self.ids.get(str(value), value) for name, value in more.items()}
        body = {"from": self.ids.get(source, source), "to": self.ids.get(target, target), "trace": True, **named}
        return dict(call(self.lab.layout.clouds_yaml.parent, "POST", "reachability", body)["reachability"])

    def received(self, guest: str) -> str:
        """What its kernel counted of IPv4."""
        counted = self.lab.guests.run(self.lab.guests.get(guest), ["cat", "/proc/net/snmp"]).splitlines()
        return "".join(line for line in counted if line.startswith(("Tcp:", "Icmp:")))

    def _network(self, number: int, router: Any) -> str:
        made = self.network.create_network(name=f"net{number}")
        for cidr in (f"10.{number}.0.0/24", f"fd00:{number}::/64"):
            version = 6 if ":" in cidr else 4
            subnet = self.network.create_subnet(network_id=made.id, ip_version=version, cidr=cidr)
            self.network.add_interface_to_router(router, subnet=subnet.id)
        return str(made.id)

    def _leg(self, network_id: str) -> None:
        other = self.network.create_router(name="beside")
        made = self.network.create_port(network_id=network_id, name="leg")
        self._note("leg", made)
        self.network.add_interface_to_router(other, port_id=made.id)

    def _claim(self, name: str, address: str) -> None:
        """ARP from an address is a claim; its floating IP is in force where the claim was made."""
        guest = self.lab.guests.get(name)
        self.lab.guests.run(guest, ["ip", "address", "add", f"{address}/32", "dev", "eth0"])
        self.lab.guests.run(guest, ["ping", "-c1", "-W5", "-I", address, self.ids["a4"]])
        eventually(lambda: self.network.get_ip(self.ids["lifted-id"]).status == "ACTIVE")

    def _lease(self, *names: str) -> None:
        asking = [self.lab.guests.request_lease(self.lab.guests.get(name)) for name in names]
        assert [client.wait(timeout=patient(20)) for client in asking] == [0] * len(names)

    def _group(self, name: str, allowed: tuple[tuple[str, int | None], ...]) -> str:
        group = self.network.create_security_group(name=name)
        for protocol, l4_port in allowed:
            rule = {"security_group_id": group.id, "direction": "ingress", "ethertype": "IPv4", "protocol": protocol}
            if l4_port:
                rule |= {"port_range_min": l4_port, "port_range_max": l4_port}
            self.network.create_security_group_rule(**rule)
            self.network.create_security_group_rule(**rule | {"ethertype": "IPv6"})
        return str(group.id)

    def _port(self, name: str, host: str, network_id: str, group: str, *, plugged: bool) -> None:
        made = self.network.create_port(
            network_id=network_id, name=name, binding_host_id=host, security_group_ids=[group]
        )
        self._note(name, made)
        if plugged:
            self.lab.guests.add(name, host, made.id, made.mac_address)

    def _note(self, name: str, port: Any) -> None:
        self.ids[name] = port.id
        for fixed in port.fixed_ips:
            self.ids[f"{name}{'6' if ':' in fixed['ip_address'] else '4'}"] = fixed["ip_address"]


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    with two_hypervisors("why") as lab:
        yield Asked(lab)


WEB = {"protocol": "tcp", "port": 80}


@pytest.mark.parametrize(
    "source, target, more, reached",
    [
        ("a", "b", WEB, True),
        ("a", "b", {}, True),
        ("a", "near", WEB, True),
        ("a", "routed", WEB, True),
        ("routed", "a", {}, True),
        ("a", "b6", WEB, True),
        ("a", "b6", {}, True),
        ("a", "routed6", WEB, True),
        ("a", "b6", {"protocol": "tcp", "port": 22}, False),
        ("a", INTERNET, WEB, True),
        ("b", INTERNET, {}, True),
        ("a", "floating", WEB, True),
        ("a", "forwarding", {"protocol": "tcp", "port": 8080}, True),
        (INTERNET, "floating", WEB, True),
        (INTERNET, "forwarding", {"protocol": "tcp", "port": 8080}, True),
        (INTERNET, "forwarding", {"protocol": "tcp", "port": 22}, False),
        ("a", "virtual", WEB, True),
        ("a", "virtual4", WEB, True),
        ("b", "virtual4", {}, True),
        ("b", "virtual4", {"protocol": "tcp", "port": 22}, False),
        ("routed", "virtual4", WEB, True),
        ("a", "lifted", WEB, True),
        (INTERNET, "lifted", WEB, True),
        (INTERNET, "lifted", {"protocol": "tcp", "port": 22}, False),
        ("near", "b", WEB | {"as_ip": "virtual4"}, True),
        ("a", "b", {"protocol": "tcp", "port": 22}, False),
        ("a", "b", {"protocol": "tcp", "port": 25}, False),
        ("a", "near", {"protocol": "udp", "port": 53}, False),
        ("a", "closed", WEB, False),
        ("a", "b", WEB | {"as_ip": "192.0.2.77"}, False),
        ("a", "b", WEB | {"as_mac": "02:00:00:00:00:99"}, False),
        ("a", "down", WEB, False),
        ("a", "leg4", {}, True),
        ("a", "leg6", {}, True),
        ("routed", "leg4", {}, True),
        ("a", "leg4", WEB, False),
        ("routed", "leg6", WEB, False),
    ],
)
def test_the_model_and_the_switches_agree(
    asked: Asked, source: str, target: str, more: dict[str, object], reached: bool
) -> None:
    # One that does not arrive is waited for: two of these are enough. What a router answers, nobody can catch.
    probe = (reached and not target.startswith("leg")) or target == "closed" or more.get("port") == 25
    told = asked.ask(source, target, probe=probe, **more)
    assert told["reached"] is reached, told
    assert told["findings"] == [], json.dumps(told, indent=1)
    legs = told["trace"]["legs"]
    assert legs
    assert [leg["verdict"] for leg in legs] == ["agrees"] * len(legs), json.dumps(told, indent=1)
    assert not probe or told["probe"]["arrived"] is reached, json.dumps(told, indent=1)


def test_a_guest_hears_nothing_of_a_probe(asked: Asked) -> None:
    before = asked.received("b")
    assert asked.ask("a", "b", probe=True, **WEB)["probe"]["arrived"]
    assert asked.ask("a", "b", probe=True)["probe"]["arrived"]
    assert asked.received("b") == before


def test_the_host_tells_what_it_dropped(asked: Asked) -> None:
    """Asked down the host's own stream, when somebody asks; `down` is plugged nowhere. The guest speaks IPv6 as it may,
    so nothing is counted but what was forged.
    """
    spoofing = asked.lab.guests.get("a")
    asked.lab.guests.run(spoofing, ["ip", "address", "add", "192.0.2.77/32", "dev", "eth0"])
    with pytest.raises(LabError, match="100% packet loss"):
        asked.lab.guests.run(spoofing, ["ping", "-c3", "-i0.2", "-W1", "-I", "192.0.2.77", asked.ids["near4"]])
    state, reasons = asked.lab.layout.clouds_yaml.parent, {}
    deadline = time.monotonic() + 10
    # Counters come a second late (ovs-vswitchd(8)).
    while reasons.get("spoofed", 0) < 3 and time.monotonic() < deadline:
        told = call(state, "GET", f"ports/{asked.ids['a']}/drops")["drops"]
        assert told["unknown"] == ""
        reasons = {each["reason"]: each["packets"] for each in told["counted"]}
    assert reasons["spoofed"] == 3
    assert "no interface" in call(state, "GET", f"ports/{asked.ids['down']}/drops")["drops"]["unknown"]


def test_a_flow_that_somebody_took_away_is_a_finding(asked: Asked) -> None:
    bridge = asked.lab.layout.host("hv2").rundir / "br-int.mgmt"
    # The agent checks its switch now and then, and may put the flows back before they are missed: once, not each time.
    for _ in range(3):
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "del-flows", f"unix:{bridge}", "table=66"], check=True)
        told = asked.ask("a", "b", probe=True, **WEB)
        if told["findings"] and not told["probe"]["arrived"]:
            break
    assert told["reached"] and "on hv2 the model says sent by port/" in told["findings"][0]
    assert not told["probe"]["arrived"] and "the probe was not seen" in told["findings"][-1]
