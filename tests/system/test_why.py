"""`suimon why A B --trace --probe`: the model's verdict, what the switches of two hypervisors say they would do, and
what they do with a real packet agree, pair by pair.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from suimon.cli.host import call
from suimon.lab.error import LabError
from suimon.lab.lab import Lab
from tests.system.clouds import connect, two_hypervisors

PORTS = {"a": "hv1", "b": "hv2", "near": "hv1", "closed": "hv2", "routed": "hv2"}


class Asked:
    """The lab and its ports by name; guests are plugged, `down` is not."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.network = connect(lab).network
        self.ids: dict[str, str] = {}
        first, second = self._subnet("first", "10.40.0.0/24"), self._subnet("second", "10.41.0.0/24")
        first6, second6 = self._subnet("first6", "fd00:40::/64"), self._subnet("second6", "fd00:41::/64")
        router = self.network.create_router(name="between")
        for subnet in (first, second, first6, second6):
            self.network.add_interface_to_router(router, subnet_id=subnet.id)
        web = self._group("web", (("tcp", 80), ("tcp", 25), ("icmp", None)))
        closed = self._group("closed", ())
        for name, host in PORTS.items():
            subnet = second if name == "routed" else first
            group = closed if name == "closed" else web
            self._port(name, host, subnet.network_id, group, plugged=True)
        for name, host, subnet in (("a6", "hv1", first6), ("b6", "hv2", first6), ("routed6", "hv2", second6)):
            self._port(name, host, subnet.network_id, web, plugged=True)
        self._port("down", "hv2", first.network_id, web, plugged=False)
        policy = self.network.create_qos_policy(name="no-mail")
        block = {"direction": "ingress", "protocol": "tcp", "port_range_min": 25, "port_range_max": 25}
        told = self.network.post(f"/qos/policies/{policy.id}/port_block_rules", json={"port_block_rule": block})
        assert told.status_code == 201, told.text
        self.network.update_port(self.ids["b"], qos_policy_id=policy.id)

    def ask(self, source: str, target: str, **more: object) -> dict[str, Any]:
        body = {"from": self.ids.get(source, source), "to": self.ids.get(target, target), "trace": True, **more}
        return dict(call(self.lab.layout.clouds_yaml.parent, "POST", "reachability", body)["reachability"])

    def received(self, guest: str) -> str:
        """What its kernel counted of IPv4."""
        counted = self.lab.guests.run(self.lab.guests.get(guest), ["cat", "/proc/net/snmp"]).splitlines()
        return "".join(line for line in counted if line.startswith(("Tcp:", "Icmp:")))

    def _subnet(self, name: str, cidr: str) -> Any:
        network = self.network.create_network(name=name)
        return self.network.create_subnet(network_id=network.id, ip_version=6 if ":" in cidr else 4, cidr=cidr)

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
        self.ids[name] = made.id
        if plugged:
            guest = self.lab.guests.add(name, host, made.id, made.mac_address)
            if not name.endswith("6"):
                self.lab.guests.lease(guest)


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
        ("a6", "b6", WEB, True),
        ("a6", "b6", {}, True),
        ("a6", "routed6", WEB, True),
        ("a6", "b6", {"protocol": "tcp", "port": 22}, False),
        ("a", "b", {"protocol": "tcp", "port": 22}, False),
        ("a", "b", {"protocol": "tcp", "port": 25}, False),
        ("a", "near", {"protocol": "udp", "port": 53}, False),
        ("a", "closed", WEB, False),
        ("a", "b", WEB | {"as_ip": "192.0.2.77"}, False),
        ("a", "b", WEB | {"as_mac": "02:00:00:00:00:99"}, False),
        ("a", "down", WEB, False),
    ],
)
def test_the_model_and_the_switches_agree(
    asked: Asked, source: str, target: str, more: dict[str, object], reached: bool
) -> None:
    # One that does not arrive is waited for: two of these are enough.
    probe = reached or target == "closed" or more.get("port") == 25
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
    """Asked down the host's own stream, when somebody asks; `down` is plugged nowhere."""
    spoofing = asked.lab.guests.get("a")
    asked.lab.guests.run(spoofing, ["ip", "address", "add", "192.0.2.77/32", "dev", "eth0"])
    command = ["ping", "-c3", "-i0.2", "-W1", "-I", "192.0.2.77", asked.lab.guests.get("near").lease["ip"]]
    with contextlib.suppress(LabError):
        asked.lab.guests.run(spoofing, command)
    state, reasons = asked.lab.layout.clouds_yaml.parent, {}
    deadline = time.monotonic() + 10
    while "spoofed" not in reasons and time.monotonic() < deadline:  # Counters come a second late (ovs-vswitchd(8)).
        told = call(state, "GET", f"ports/{asked.ids['a']}/drops")["drops"]
        assert told["unknown"] == ""
        reasons = {each["reason"]: each["packets"] for each in told["counted"]}
    assert reasons["spoofed"] >= 2, "the last may not be counted yet"
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
