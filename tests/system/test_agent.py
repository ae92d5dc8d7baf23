"""The agent on a real Open vSwitch, with a controller that speaks the host protocol: what it promises to guests."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from suimon.lab.births import Birth, births, touched
from suimon.model.view import (
    BandwidthLimit,
    FixedIp,
    FloatingIp,
    Gateway,
    Network,
    Port,
    QosPolicy,
    Router,
    RouterInterface,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
)
from tests.patience import patient
from tests.system.agent_process import SUIMON, AgentProcess
from tests.system.openvswitch import OpenVSwitch

NETWORK = Network("11111111-0000-0000-0000-000000000001", "vxlan", 100, None, 1450)
SUBNET = Subnet("22222222-0000-0000-0000-000000000001", NETWORK.id, "10.0.0.0/24", "10.0.0.1", True, ("9.9.9.9",))
GROUP = SecurityGroup(
    "33333333-0000-0000-0000-000000000001",
    (
        SecurityGroupRule("r1", "egress", "IPv4"),
        SecurityGroupRule("r2", "ingress", "IPv4", protocol=1),
    ),
)


def port(number, **more):
    name = f"aaaaaaaa-0000-0000-0000-00000000000{number}"
    fixed = (FixedIp(SUBNET.id, f"10.0.0.{10 + number}"),)
    return Port(name, "h1", NETWORK.id, f"fa:16:3e:00:00:0{number}", fixed, groups=(GROUP.id,), **more)


PORTS = (port(1), port(2))


@pytest.fixture
def agent(switch: OpenVSwitch, controller, tmp_path) -> Iterator[AgentProcess]:
    one = AgentProcess(switch, tmp_path / "state")
    one.join(controller, "--tunnel-ip", "192.0.2.1")
    yield one
    one.stop()
    print(one.log.read_text() if one.log.exists() else "no log")


@pytest.fixture
def guests(switch, controller, agent) -> list[str]:
    """Two guests on one network, plugged and ACTIVE."""
    controller.change(NETWORK, SUBNET, GROUP, *PORTS)
    agent.start()
    agent.wait_log("switch_connected")
    names = [switch.add_guest(each.id, each.mac) for each in PORTS]
    for each in PORTS:
        controller.wait_status(each.id, "ACTIVE")
    return names


def lease(switch, guest, tmp_path) -> dict[str, str]:
    """What udhcpc is given, applied to the guest."""
    script, told = tmp_path / "udhcpc.script", tmp_path / f"{guest}.lease"
    script.write_text(
        "#!/bin/sh\n"
        '[ "$1" = bound ] || exit 0\n'
        'ip addr replace "$ip/$mask" dev "$interface"\n'
        'ip link set "$interface" mtu "$mtu"\n'
        'ip route replace default via "$router"\n'
        f'echo "ip=$ip mask=$mask router=$router dns=$dns lease=$lease server=$serverid mtu=$mtu" > {told}\n'
    )
    script.chmod(0o755)
    options = ["-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-O", "mtu", "-s", str(script)]
    switch.exec("udhcpc", *options, guest=guest)
    return dict(pair.split("=", 1) for pair in told.read_text().split())


def pings(switch, guest, address, count=3) -> int:
    """How many of `count` were answered."""
    command = ["ip", "netns", "exec", guest, "ping", "-c", str(count), "-i", "0.2", "-W", f"{patient(1):g}", address]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(60)).stdout
    return int(re.search(r"(\d+) received", said)[1])


def born(switch, bridge="br-int") -> dict[str, Birth]:
    """Every flow, and when it was installed."""
    return births(lambda: switch.ofctl("dump-flows", bridge))


def same_flows(before, after):
    """Nothing came, nothing went, and nothing was installed again."""
    assert touched(before, after) == []


def test_two_guests_get_leases_by_a_real_client_and_ping(switch, guests, tmp_path):
    told = [lease(switch, guest, tmp_path) for guest in guests]
    assert told[0] == {
        "ip": "10.0.0.11",
        "mask": "24",
        "router": "10.0.0.1",
        "dns": "9.9.9.9",
        "lease": "86400",
        "server": "10.0.0.1",
        "mtu": "1450",
    }
    assert told[1]["ip"] == "10.0.0.12"
    assert pings(switch, guests[0], "10.0.0.12") == 3


def test_a_killed_agent_touches_no_flow_when_it_comes_back_even_without_the_controller(
    switch, controller, agent, guests, tmp_path
):
    lease(switch, guests[0], tmp_path)
    before = born(switch)
    assert len(before) > 20
    assert agent.kill() == -signal.SIGKILL
    agent.start()
    agent.wait_log("view_in_force", after=agent.log.stat().st_size)
    same_flows(before, born(switch))

    controller.stop()
    agent.kill()
    size = agent.log.stat().st_size
    agent.start()
    agent.wait_log("view_in_force", after=size)
    same_flows(before, born(switch))
    assert lease(switch, guests[1], tmp_path)["ip"] == "10.0.0.12", "DHCP works without the controller"
    assert pings(switch, guests[0], "10.0.0.12") == 3

    controller.start()
    news = port(3)
    controller.change(news)
    switch.add_guest(news.id, news.mac)
    controller.wait_status(news.id, "ACTIVE")
    after = born(switch)
    same_flows(before, {text: after[text] for text in before})


def test_status_follows_the_interface(switch, controller, agent, guests):
    switch.unplug("tap0")
    assert PORTS[0].id in controller.wait_status(PORTS[0].id, "DOWN")
    assert not [text for text in born(switch) if "dl_src=fa:16:3e:00:00:01" in text]
    switch.plug("tap0", PORTS[0].id)
    controller.wait_status(PORTS[0].id, "ACTIVE")
    controller.change(deleted=[("port", PORTS[0].id)])
    controller.wait_report(lambda report: report.position.revision == controller.revision)
    assert not [text for text in born(switch) if "dl_src=fa:16:3e:00:00:01" in text]
    news = port(3)
    controller.change(news)
    controller.wait_status(news.id, "DOWN")
    assert "zone_not_flushed" not in agent.log.read_text()


def test_an_interface_of_a_port_that_is_not_told_is_ignored_until_it_is(switch, controller, agent, guests):
    before = born(switch)
    early = port(5)
    guest = switch.add_guest(early.id, early.mac, "10.0.0.15/24")
    assert pings(switch, guest, "10.0.0.11", 1) == 0
    same_flows(before, born(switch))
    controller.change(early)
    controller.wait_status(early.id, "ACTIVE")


def test_the_view_of_an_emptied_store_is_held_until_an_operator_accepts_it(switch, controller, agent, guests, tmp_path):
    for guest in guests:
        lease(switch, guest, tmp_path)
    before = born(switch)
    controller.stop()
    controller.forget_everything("store-2")
    controller.start()
    assert "another store" in controller.wait_report(lambda report: report.held).held
    assert "another store" in agent.ask("agent", "status")
    same_flows(before, born(switch))
    assert pings(switch, guests[0], "10.0.0.12") == 3

    assert "accepted" in agent.ask("agent", "accept")
    controller.wait_report(lambda report: report.position.store == "store-2" and not report.held)
    assert len(born(switch)) < len(before)
    assert pings(switch, guests[0], "10.0.0.12", 1) == 0
    assert "nothing is held" in agent.ask("agent", "accept")


def test_a_corrupt_view_is_not_used_and_nothing_is_touched_before_the_next_snapshot(switch, controller, agent, guests):
    before = born(switch)
    controller.stop()
    agent.kill()
    view = agent.state / "view.json"
    view.write_bytes(view.read_bytes().replace(b"10.0.0.11", b"10.0.0.19"))
    size = agent.log.stat().st_size
    agent.start()
    agent.wait_log("saved_state_refused", after=size)
    agent.wait_log("switch_connected", after=size)
    assert (agent.state / "view.json.corrupt").exists()
    same_flows(before, born(switch))
    controller.start()
    agent.wait_log("view_in_force", after=size)
    assert controller.watches[-1].position is None
    same_flows(before, born(switch))


def test_a_new_vswitchd_gets_all_flows_again(switch, agent, guests, tmp_path):
    for guest in guests:
        lease(switch, guest, tmp_path)
    before = born(switch)
    switch.kill("ovs-vswitchd")
    size = agent.log.stat().st_size
    switch.start_switch()
    agent.wait_log("switch_connected", after=size)
    deadline = time.monotonic() + patient(10)
    while born(switch).keys() != before.keys():
        assert time.monotonic() < deadline, before.keys() ^ born(switch).keys()
        time.sleep(0.05)
    assert pings(switch, guests[0], "10.0.0.12") == 3


def test_a_restarted_database_is_followed_again_and_touches_no_flow(switch, controller, agent, guests):
    before = born(switch)
    size = agent.log.stat().st_size
    switch.kill("ovsdb-server")
    switch.start_database()
    agent.wait_log("switch_connected", after=size)
    news = port(4)
    controller.change(news)
    switch.add_guest(news.id, news.mac)
    controller.wait_status(news.id, "ACTIVE")
    after = born(switch)
    same_flows(before, {text: after[text] for text in before})


def test_limits_come_and_go(switch, controller, agent, guests):
    limits = (BandwidthLimit("ingress", 10_000, 2_000), BandwidthLimit("egress", 5_000, 1_000))
    controller.change(QosPolicy("q1", limits), port(1, qos_id="q1"))
    controller.wait_report(lambda report: report.position.revision == controller.revision)
    assert "rate=5000 burst_size=1000" in switch.ofctl("dump-meters")
    assert '"10000000"' in switch.vsctl("list", "qos")
    controller.change(port(1))
    controller.wait_report(lambda report: report.position.revision == controller.revision)
    assert "rate=5000" not in switch.ofctl("dump-meters")
    assert switch.vsctl("list", "qos") == ""
    assert switch.vsctl("list", "queue") == ""


def test_counters_are_reported(controller, guests):
    report = controller.wait_report(lambda report: report.reading and len(report.reading.ports) == 2, timeout_s=60)
    assert {each.port_id for each in report.reading.ports} == {each.id for each in PORTS}
    assert all(each.sent.packets > 0 and each.sent_outside is not None for each in report.reading.ports)


def test_flows_and_why_speak_of_stages_and_owners(switch, agent, guests):
    named = agent.ask("flows", PORTS[0].id[:13] + PORTS[0].id[13:])
    assert re.search(rf"stage=antispoof,.*owner=port/{PORTS[0].id}", named)
    assert PORTS[1].id not in named
    everything = agent.ask("flows")
    assert f"owner=network/{NETWORK.id}" in everything
    allowed = agent.ask("why", PORTS[0].id, "--to", "10.0.0.12")
    assert "Sent out of port" in allowed
    refused = agent.ask("why", PORTS[0].id, "--to", "10.0.0.12", "--protocol", "tcp", "--port", "22")
    assert re.search(r"Dropped in \w+_in", refused), refused
    agent.kill()
    offline = agent.ask("flows", "--ovs-rundir", str(switch.rundir))
    assert set(everything.splitlines()) <= set(offline.splitlines())


def test_a_second_agent_on_the_state_directory_refuses_in_a_sentence(agent, guests, tmp_path):
    command = [SUIMON, "agent", "--state", str(agent.state)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=patient(30), check=False)
    assert second.returncode != 0
    assert "another agent runs" in second.stderr


def test_open_vswitch_that_is_not_running_is_waited_for(switch, controller, agent):
    switch.kill("ovs-vswitchd")
    switch.kill("ovsdb-server")
    agent.start()
    agent.wait_log("is it running")
    switch.start_database()
    switch.start_switch()
    agent.wait_log("switch_connected")
    assert "secure" in switch.vsctl("get-fail-mode", "br-int")
    assert agent.kill(signal.SIGTERM) == 0


EXTERNAL = Network("11111111-0000-0000-0000-00000000000e", "vlan", 77, "public", 1500, external=True)
OUTSIDE = Subnet("22222222-0000-0000-0000-00000000000e", EXTERNAL.id, "203.0.113.0/24", "203.0.113.1", False)
ROUTER = Router(
    "44444444-0000-0000-0000-000000000001",
    True,
    (RouterInterface("rp", NETWORK.id, SUBNET.id, SUBNET.cidr, "10.0.0.1", "fa:16:3e:00:00:a1"),),
    Gateway(EXTERNAL.id, "203.0.113.2", "fa:16:3e:00:00:a2", "203.0.113.1"),
)
FLOATING = FloatingIp(
    "55555555-0000-0000-0000-000000000001",
    "h1",
    EXTERNAL.id,
    "203.0.113.50",
    "fa:16:3e:00:00:f1",
    PORTS[0].id,
    "10.0.0.11",
    ROUTER.id,
)


@pytest.fixture
def internet(switch) -> str:
    """A host on VLAN 77 behind the uplink `up0`: 203.0.113.1, which is the gateway, and 203.0.113.9.

    A bridge of its own tags for it, because not every kernel has VLAN devices.
    """
    world = "br-world"
    switch.vsctl("add-br", world, "--", "set", "bridge", world, "datapath_type=netdev")
    switch.exec("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    for device in ("up0", "up1"):
        switch.exec("ethtool", "-K", device, "tx", "off", "txvlan", "off", "rxvlan", "off")
        switch.exec("ip", "link", "set", device, "up")
    switch.vsctl("add-port", world, "up1")
    name = switch.add_guest("nobody", "52:54:00:00:00:01", "203.0.113.1/24", world)
    switch.vsctl("set", "port", "tap0", "tag=77")
    for address in ("203.0.113.9/24", "198.51.100.1/32"):
        switch.exec("ip", "addr", "add", address, "dev", "eth0", guest=name)
    return name


def test_a_floating_ip_is_announced_reached_and_leaves_by_a_next_hop_that_the_agent_finds(
    switch, controller, internet, tmp_path
):
    agent = AgentProcess(switch, tmp_path / "state", "--uplink", "public=up0")
    agent.join(controller, "--tunnel-ip", "192.0.2.1", "--physnet", "public")
    try:
        controller.change(NETWORK, SUBNET, GROUP, *PORTS, EXTERNAL, OUTSIDE, ROUTER)
        agent.start()
        agent.wait_log("switch_connected")
        guest = switch.add_guest(PORTS[0].id, PORTS[0].mac)
        controller.wait_status(PORTS[0].id, "ACTIVE")
        lease(switch, guest, tmp_path)
        controller.change(FLOATING)
        agent.wait_log("neighbour_learned")
        assert pings(switch, internet, "203.0.113.50") == 3, "from outside to the floating IP"
        assert pings(switch, guest, "198.51.100.1") == 3, "through the gateway"
        assert pings(switch, guest, "203.0.113.9") == 3, "to a neighbour nobody knew: the first packet waits for it"
        before = {bridge: born(switch, bridge) for bridge in ("br-int", "br-public")}
        agent.kill()
        size = agent.log.stat().st_size
        agent.start()
        agent.wait_log("view_in_force", after=size)
        for bridge, flows in before.items():
            same_flows(flows, born(switch, bridge))
        controller.change(deleted=[("floating_ip", FLOATING.id)])
        controller.wait_report(lambda report: report.position.revision == controller.revision)
        assert pings(switch, internet, "203.0.113.50", 1) == 0
        assert not [text for text in born(switch) if "203.0.113." in text and "203.0.113.0/24" not in text]
        assert json.loads((agent.state / "neighbours.json").read_text().splitlines()[1]) == []
    finally:
        agent.stop()
        print(agent.log.read_text() if agent.log.exists() else "no log")
