"""IPv6 addresses of guests on a real Open vSwitch: what their own kernels make of our router advertisements, and what
an unmodified DHCPv6 client is told.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace as with_

from suimon.model.view import FixedIp, Network, Port, Router, RouterInterface, Subnet
from tests.agent.fake_controller import FakeController
from tests.patience import patient
from tests.system.agent_process import AgentProcess
from tests.system.openvswitch import OpenVSwitch

NETWORK = Network("11111111-0000-0000-0000-000000000001", "vxlan", 100, None, 1400, dns_domain="cloud.example.")
SLAAC = Subnet(
    "22222222-0000-0000-0000-000000000001", NETWORK.id, "fd00:1::/64", "fd00:1::1", True, (), (), "slaac", "slaac"
)
LEASED = with_(
    SLAAC,
    id="22222222-0000-0000-0000-000000000002",
    cidr="fd00:2::/64",
    dns=("fd00::53",),
    ra_mode="dhcpv6-stateful",
    address_mode="dhcpv6-stateful",
)
LEG = RouterInterface("leg", NETWORK.id, SLAAC.id, SLAAC.cidr, "fd00:1::1", "fa:16:3e:00:00:a1")
LEGS = (LEG, with_(LEG, subnet_id=LEASED.id, cidr=LEASED.cidr, ip="fd00:2::1"))
ROUTER = Router("33333333-0000-0000-0000-000000000001", True, LEGS)
ROUTER_IP = "fe80::f816:3eff:fe00:a1"
OWN = Port(
    "aaaaaaaa-0000-0000-0000-000000000001",
    "h1",
    NETWORK.id,
    "fa:16:3e:00:00:01",
    (FixedIp(SLAAC.id, "fd00:1::f816:3eff:fe00:1"),),
)
GIVEN = Port(
    "aaaaaaaa-0000-0000-0000-000000000002", "h1", NETWORK.id, "fa:16:3e:00:00:02", (FixedIp(LEASED.id, "fd00:2::77"),)
)


@pytest.fixture
def agent(switch: OpenVSwitch, controller: FakeController, tmp_path: Path) -> Iterator[AgentProcess]:
    one = AgentProcess(switch, tmp_path / "state")
    one.join(controller, "--tunnel-ip", "192.0.2.1")
    controller.change(NETWORK, SLAAC, LEASED, ROUTER, OWN, GIVEN)
    one.start()
    one.wait_log("switch_connected")
    yield one
    one.stop()
    print(one.log.read_text())


def plugged(switch: OpenVSwitch, controller: FakeController, port: Port) -> str:
    """A guest for the port, with its link-local address ready for use."""
    guest = switch.add_guest(port.id, port.mac)
    controller.wait_status(port.id, "ACTIVE")
    wait(lambda: [each for each in addresses(switch, guest, "link") if "tentative" not in each])
    return guest


def wait(found: Callable[[], object], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + patient(timeout_s)
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def addresses(switch: OpenVSwitch, guest: str, scope: str = "global") -> list[dict[str, object]]:
    """Those of eth0, as ip(8) has them."""
    shown = json.loads(switch.exec("ip", "-6", "-j", "addr", "show", "dev", "eth0", "scope", scope, guest=guest))
    return [address for device in shown for address in device.get("addr_info", ()) if address]


def defaults(switch: OpenVSwitch, guest: str) -> list[str]:
    """The gateways of its default routes."""
    shown = json.loads(switch.exec("ip", "-6", "-j", "route", "show", "default", guest=guest))
    return [str(route["gateway"]) for route in shown]


def setting(switch: OpenVSwitch, guest: str, name: str) -> str:
    return switch.exec("cat", f"/proc/sys/net/ipv6/conf/eth0/{name}", guest=guest).strip()


def test_a_guests_kernel_takes_address_route_and_mtu_of_our_advertisement(
    switch: OpenVSwitch, controller: FakeController, agent: AgentProcess
) -> None:
    guest = plugged(switch, controller, OWN)
    wait(lambda: addresses(switch, guest))
    [address] = addresses(switch, guest)
    assert (address["local"], address["prefixlen"], address["dynamic"]) == (OWN.fixed_ips[0].ip, 64, True)
    assert defaults(switch, guest) == [ROUTER_IP]
    assert setting(switch, guest, "mtu") == "1400"
    controller.change(with_(ROUTER, interfaces=()))
    wait(lambda: not defaults(switch, guest))
    wait(lambda: addresses(switch, guest)[0].get("deprecated"))
    controller.change(ROUTER)
    wait(lambda: defaults(switch, guest) == [ROUTER_IP])
    wait(lambda: not addresses(switch, guest)[0].get("deprecated"))


def test_a_guest_that_asks_is_answered_at_once(
    switch: OpenVSwitch, controller: FakeController, agent: AgentProcess
) -> None:
    """The kernel asks when its link comes up; what we tell unasked is minutes away."""
    guest = plugged(switch, controller, OWN)
    wait(lambda: defaults(switch, guest))
    switch.exec("ip", "link", "set", "eth0", "down", guest=guest)
    assert defaults(switch, guest) == []
    switch.exec("ip", "link", "set", "eth0", "up", guest=guest)
    wait(lambda: defaults(switch, guest) == [ROUTER_IP], 10)


SCRIPT = """#!/bin/sh
# What dhclient-script(8) is told, kept; and the address, set up.
[ -z "$new_ip6_address" ] || ip -6 addr replace "$new_ip6_address/128" dev "$interface"
echo "$reason $new_ip6_address $new_dhcp6_name_servers $new_dhcp6_domain_search" >> {told}
"""


def test_a_lease_is_had_by_dhcpv6_and_outlives_the_agent(
    switch: OpenVSwitch, controller: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    guest = plugged(switch, controller, GIVEN)
    script, told, config = tmp_path / "script", tmp_path / "told", tmp_path / "config"
    script.write_text(SCRIPT.format(told=told))
    script.chmod(0o755)
    config.write_text("also request dhcp6.name-servers, dhcp6.domain-search;\n")
    files = ["-sf", str(script), "-cf", str(config), "-lf", str(tmp_path / "leases"), "-pf", str(tmp_path / "pid")]
    client = ["dhclient", "-6", "-1", *files, "eth0"]
    switch.exec(*client, guest=guest)
    assert told.read_text().splitlines()[-1] == "BOUND6 fd00:2::77 fd00::53 cloud.example."
    # The other prefix of the link makes every guest an address of its own, which is not this port's.
    assert "fd00:2::77" in {each["local"] for each in addresses(switch, guest)}
    agent.kill()
    switch.exec("dhclient", "-6", "-x", *files, "eth0", guest=guest)
    log = agent.log.stat().st_size
    agent.start()
    agent.wait_log("view_in_force", log)
    switch.exec(*client, guest=guest)
    reason, ip, *_ = told.read_text().splitlines()[-1].split()
    assert (reason in ("BOUND6", "REBIND6", "RENEW6"), ip) == (True, "fd00:2::77")
    log = agent.log.stat().st_size
    controller.change(with_(GIVEN, fixed_ips=(FixedIp(LEASED.id, "fd00:2::78"),)))
    agent.wait_log("view_in_force", log)
    switch.exec("dhclient", "-6", "-x", *files, "eth0", guest=guest)
    switch.exec(*client, guest=guest)
    assert told.read_text().splitlines()[-1].split()[1] == "fd00:2::78"
