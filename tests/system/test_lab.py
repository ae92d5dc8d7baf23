"""Promises of the lab: wires that carry what hypervisors need, and nothing left behind, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from suimon.lab import processes
from suimon.lab.error import LabError
from suimon.lab.guests import Guest
from suimon.lab.journal import Journal
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig
from suimon.lab.openstack import OpenStack
from suimon.lab.openvswitch import OpenVSwitch
from suimon.lab.underlay import existing_namespaces
from tests.system.clouds import free_lab

SERVICES = "169.254.169.254"
PORTS = [f"0a000000-0000-4000-8000-00000000000{number}" for number in range(4)]


@pytest.fixture
def config() -> Iterator[LabConfig]:
    """Of a lab of its own, taken down in any case."""
    with free_lab("lab") as config:
        yield config
        Lab.load(config, print).down()


@pytest.fixture
def lab(config: LabConfig) -> Lab:
    lab = Lab(config, print)
    lab.up(cloud=False)
    return lab


def left_behind(config: LabConfig) -> list[str]:
    lab = Lab(config, print)
    found = [name for name in existing_namespaces() if name.startswith(config.name)]
    found += [path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(config.name)]
    found += [str(process.pid) for process in processes.marked(lab.layout.directory)]
    return found + [str(path) for path in Path(config.root).parent.iterdir()]


def test_down_leaves_nothing_behind(config: LabConfig) -> None:
    lab = Lab(config, print)
    lab.up(cloud=False)
    assert len(left_behind(config)) > 10
    Lab.load(msgspec.structs.replace(config, hosts=3), print).down()
    assert left_behind(config) == []


@pytest.mark.parametrize("entries", [0, 1, 4, 5, 7])
def test_a_killed_up_says_half_up_and_down_removes_it(config: LabConfig, entries: int) -> None:
    lab = Lab(config, print)
    program = f"""
import msgspec, sys
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig
Lab(msgspec.json.decode({msgspec.json.encode(config)!r}, type=LabConfig), print).up(cloud=False)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL) as child:
        journal = lab.layout.directory / "journal"
        await_lines(journal if entries else lab.layout.directory / "lab.json", entries or 1, child)
        child.send_signal(signal.SIGKILL)
    assert lab.state() == "half up"
    Lab.load(config, print).down()
    assert left_behind(config) == []


def await_lines(path: Path, count: int, child: subprocess.Popen[bytes]) -> None:
    """Python has no inotify, by which a file tells that it grows; a moment more or less is as good."""
    deadline = time.monotonic() + 20
    while not path.exists() or len(path.read_bytes().splitlines()) < count:
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.001)


def test_a_lab_of_which_no_process_is_left_is_made_anew(lab: Lab) -> None:
    """As after the machine was restarted; there the namespaces are gone, too."""
    processes.end(processes.marked(lab.layout.directory))
    assert lab.state() == "dead"
    lab.up(cloud=False)
    assert lab.state() == "up"


def test_a_second_up_and_a_second_lab_on_the_same_addresses_are_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match="is up already"):
        Lab(lab.layout.config, print).up(cloud=False)
    twin = msgspec.structs.replace(lab.layout.config, name="smttwin")
    with pytest.raises(LabError, match="choose another with --number"):
        Lab(twin, print).up(cloud=False)
    assert not Lab(twin, print).layout.directory.exists()


def test_a_taken_port_is_told(config: LabConfig) -> None:
    with socket.socket() as taken:
        # Even where connections of the last test's lab of this number are waiting for stray packets (TIME_WAIT).
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", config.api_port))
        taken.listen()
        with pytest.raises(LabError, match=f"Port {config.api_port} of 127.0.0.1 is taken"):
            Lab(config, print).up(cloud=False)
    assert left_behind(config) == []


def test_a_failure_on_the_way_up_is_taken_down_again(config: LabConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_switch: OpenVSwitch) -> None:
        raise LabError("no")

    monkeypatch.setattr(OpenVSwitch, "start_vswitchd", refuse)
    with pytest.raises(LabError, match="no"):
        Lab(config, print).up(cloud=False)
    assert left_behind(config) == []


def test_userspace_tunnels_cross_from_the_first_packet_and_without_the_management_network(lab: Lab) -> None:
    first, second = (integrate(lab, host.name, number) for number, host in enumerate(lab.layout.hosts, 1))
    for guest, peer in ((first, second), (second, first)):
        tunnel_ip = lab.layout.host(peer.host).tunnel_ip
        out = f"in_port=1,actions=set_field:100->tun_id,set_field:{tunnel_ip}->tun_dst,output:2"
        lab.switch(guest.host).ofctl(
            "add-flows", "br-int", "-", stdin=f"{out}\nin_port=2,tun_id=100,actions=output:1\n"
        )
        lab.wires.cut_management(lab.layout.host(guest.host), cut=True)
    assert " 0% packet loss" in lab.guests.run(first, ["ping", "-c", "3", "-i", "0.2", "-W", "1", "10.0.0.2"])
    inside = ["ip", "netns", "exec", lab.layout.hosts[0].namespace]
    with pytest.raises(LabError, match="100% packet loss"):
        processes.run([*inside, "ping", "-c", "1", "-W", "1", lab.layout.controller_ip])


def test_the_internet_host_is_reached_untagged_and_on_a_vlan(lab: Lab) -> None:
    guest = integrate(lab, "hv1", 1)
    switch = lab.switch("hv1")
    switch.vsctl("add-port", "br-int", "eth-public", "--", "set", "interface", "eth-public", "ofport_request=3")
    lab.add_internet_vlan(7, "198.51.100.1/24")
    for address, out, into in (
        ("203.0.113.1", "output:3", "vlan_tci=0,actions=output:1"),
        ("198.51.100.1", "push_vlan:0x8100,set_field:4103->vlan_vid,output:3", "dl_vlan=7,actions=pop_vlan,output:1"),
    ):
        switch.ofctl("replace-flows", "br-int", "-", stdin=f"in_port=1,actions={out}\nin_port=3,{into}\n")
        network = address.rpartition(".")[0]
        lab.guests.run(guest, ["ip", "address", "add", f"{network}.77/24", "dev", "eth0"])
        assert " 0% packet loss" in lab.guests.run(guest, ["ping", "-c", "2", "-i", "0.2", "-W", "1", address])


def test_a_hypervisors_own_ip_stack_does_not_answer_its_guests(lab: Lab) -> None:
    guest = integrate(lab, "hv1", 1)
    host = lab.layout.host("hv1")
    lab.guests.run(guest, ["ip", "route", "add", host.management_ip, "dev", "eth0"])
    address = processes.run(["ip", "netns", "exec", host.namespace, "cat", f"/sys/class/net/{guest.device}/address"])
    for neighbour in (None, address.strip()):
        if neighbour:
            lab.guests.run(guest, ["ip", "neigh", "replace", host.management_ip, "lladdr", neighbour, "dev", "eth0"])
        with pytest.raises(LabError, match="100% packet loss"):
            lab.guests.run(guest, ["ping", "-c", "1", "-W", "1", host.management_ip])


def test_guests_are_found_by_name_and_go_without_a_trace(lab: Lab) -> None:
    before = lab.switch("hv1").dump() if bridge(lab, "hv1") else {}
    guest = lab.guests.add("web", "hv1", PORTS[1], "02:00:00:00:00:01")
    marks = lab.switch("hv1").vsctl("get", "interface", guest.device, "external_ids:iface-id")
    assert marks.strip().strip('"') == PORTS[1] and lab.namespace("web") == guest.namespace
    with pytest.raises(LabError, match="Guest web on hv1 is already there"):
        lab.guests.add("web", "hv1", PORTS[2], "02:00:00:00:00:02")
    lab.guests.remove("web")
    assert lab.switch("hv1").dump() == before and guest.namespace not in existing_namespaces()
    with pytest.raises(LabError, match="no guest 'web'"):
        lab.guests.get("web")


def test_a_guest_without_a_server_gets_no_lease(lab: Lab) -> None:
    guest = integrate(lab, "hv1", 1)
    with pytest.raises(LabError, match="got no DHCP lease after 1 tries"):
        lab.guests.lease(guest, tries=1)


def test_the_cloud_in_the_lab_dies_and_comes_back_part_by_part(config: LabConfig) -> None:
    lab = Lab(config, print)
    begun = time.monotonic()
    lab.up()
    assert time.monotonic() - begun < 20
    host = lab.layout.host("hv1")
    assert all_running(lab)
    lab.cloud.kill_agent(host)
    assert [each.agent_pid is None for each in lab.status().hosts] == [True, False]
    with pytest.raises(LabError, match="hv1 of the lab is not running"):
        lab.cloud.kill_agent(host)
    lab.cloud.start_agent(host)
    lab.cloud.await_agent(host)
    lab.cloud.kill_controller()
    assert lab.status().controller_pid is None
    lab.cloud.start_controller()
    lab.cloud.await_hosts()
    assert all_running(lab)
    lab.down()
    assert left_behind(config) == []


def test_a_guest_by_the_commands_of_the_readme(config: LabConfig) -> None:
    lab = Lab(config, print)
    lab.up()
    with OpenStack(lab.layout) as openstack:
        openstack.run("network", "create", "net1")
        openstack.run("subnet", "create", "subnet1", "--network", "net1", "--subnet-range", "10.9.0.0/24")
        nova = ("--device-owner", "compute:nova")
        port = openstack.create("port", "create", "port1", "--network", "net1", "--host", "hv1", *nova)
        with pytest.raises(LabError, match=r"`openstack network show 'not there' -f json` ended with 1: .*not there"):
            openstack.show("network", "not there")
    address = port["fixed_ips"][0]["ip_address"]
    assert f"Guest vm1 is on hv1 with {address}/24." in suimon_lab(
        config, "guest", "add", "vm1", "--host=hv1", "--port=port1", "--movable"
    )
    assert f" {address}/24 " in suimon_lab(config, "exec", "vm1", "--", "ip", "-4", "address", "show", "dev", "eth0")
    assert "vm1         on hv1" in suimon_lab(config, "status")
    assert suimon_lab(config, "guest", "migrate", "vm1", "--to=hv2").endswith("Guest vm1 is on hv2.\n")
    assert "vm1         on hv2" in suimon_lab(config, "status")
    asked = suimon_lab(config, "exec", "vm1", "--", "busybox", "wget", "-qO-", f"http://{SERVICES}/latest/meta-data/")
    assert "local-ipv4" in asked, "its new host answers"
    suimon_lab(config, "guest", "remove", "vm1")
    assert "vm1" not in suimon_lab(config, "status")
    suimon_lab(config, "down")
    assert left_behind(config) == []


@pytest.mark.parametrize("process", ["controller", "hv1"])
def test_a_killed_up_leaves_no_part_of_the_cloud_either(config: LabConfig, process: str) -> None:
    with subprocess.Popen([*SUIMON_LAB, *named(config), "up", *sized(config)], stdout=subprocess.DEVNULL) as child:
        journal = Journal(Lab(config, print).layout.directory / "journal")
        while process not in [entry.name for entry in journal.entries()]:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
    Lab.load(config, print).down()
    assert left_behind(config) == []


def test_an_interruption_while_its_folder_is_made_leaves_none(
    config: LabConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        assert Lab(config, print).layout.directory.is_dir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "open", interrupted)
        Lab(config, print).down()
    assert left_behind(config) == []


@pytest.mark.parametrize("line", ["Building the lab", "Step 1 of"])
def test_an_interrupted_tour_takes_the_lab_down(config: LabConfig, line: str) -> None:
    tour = [*SUIMON_LAB, *named(config), "tour", *sized(config)[1:]]
    with subprocess.Popen(tour, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        assert child.stdout is not None
        while line not in (said := child.stdout.readline()):
            assert said, "the tour ended by itself"
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == 1, child.stdout.read()
    assert left_behind(config) == []


def test_after_the_tour_the_lab_stays_up_until_ctrl_c(config: LabConfig) -> None:
    """The tour itself is `make lab`'s to show: here it has no steps."""
    program = "from suimon.lab.tour import tour; tour.STEPS = {}; from suimon.cli import main; main()"
    args = ["lab", *named(config), "tour", *sized(config)[1:]]
    with subprocess.Popen([sys.executable, "-c", program, *args], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = ""
        while "Ctrl-C ends this" not in said:
            line = child.stdout.readline()
            assert line, said
            said += line
        assert f"export OS_CLIENT_CONFIG_FILE={Lab.load(config, print).layout.clouds_yaml}" in said
        assert f"suimon lab --name {config.name} --root {config.root} guest migrate vm1" in said
        assert all_running(Lab.load(config, print))
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == 0
    assert left_behind(config) == []


SUIMON_LAB = [str(Path(sys.executable).with_name("suimon")), "lab"]


def named(config: LabConfig) -> list[str]:
    return [f"--name={config.name}", f"--root={config.root}"]


def sized(config: LabConfig) -> list[str]:
    return [f"--hosts={config.hosts}", f"--number={config.number}", f"--api-port={config.api_port}"]


def suimon_lab(config: LabConfig, *args: str) -> str:
    return processes.run([*SUIMON_LAB, *named(config), *args], timeout_s=60)


def all_running(lab: Lab) -> bool:
    status = lab.status()
    return status.controller_pid is not None and all(each.switch_running and each.agent_pid for each in status.hosts)


def bridge(lab: Lab, host: str) -> str:
    """A br-int with a tunnel and no flows, which an agent would have made."""
    tunnel = ["type=vxlan", "options:remote_ip=flow", "options:key=flow", "ofport_request=2"]
    make = ["add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"]
    make += ["--", "add-port", "br-int", "sm-vxlan", "--", "set", "interface", "sm-vxlan", *tunnel]
    lab.switch(host).vsctl("--may-exist", *make, f"options:local_ip={lab.layout.host(host).tunnel_ip}")
    return "br-int"


def integrate(lab: Lab, host: str, number: int) -> Guest:
    """A br-int, and on its port 1 a guest with an address of its own."""
    bridge(lab, host)
    guest = lab.guests.add(f"vm{number}", host, PORTS[number], f"02:00:00:00:00:0{number}")
    lab.switch(host).vsctl("set", "interface", guest.device, "ofport_request=1")
    lab.guests.run(guest, ["ip", "address", "add", f"10.0.0.{number}/24", "dev", "eth0"])
    return guest
