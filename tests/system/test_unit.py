"""The agent does its work with the capabilities that its systemd unit leaves it."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.fake_controller import FakeController
from tests.system.agent_process import AgentProcess
from tests.system.openvswitch import OpenVSwitch, run
from tests.system.test_agent import GROUP, NETWORK, PORTS, SUBNET, lease

UNIT = Path(__file__).parents[2] / "packaging/systemd/suimon-agent.service"
MOUNTS = (
    *("ProtectSystem", "ProtectHome", "ProtectProc", "PrivateTmp", "PrivateDevices", "PrivateMounts", "ReadOnlyPaths"),
    *("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "RootDirectory"),
)
"""What gives a service a mount namespace of its own (systemd.exec(5))."""
READ = """
import os, sys
from suimon.dataplane import kept
from suimon.dataplane.inside import in_namespace

def read():
    name = kept.table("suimon")[0][1][4:10].decode()
    return [kept.settings(["net.ipv4.ip_forward"])[0].strip(), name if kept.routing() else ""]

print(*in_namespace(os.open(f"/run/netns/{sys.argv[1]}", os.O_RDONLY), read))
"""
"""Prints what a namespace has of what `dataplane.nat` reads there."""


def allowed(*more: str) -> list[str]:
    """A command that runs another as the unit's service."""
    found = re.search(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.M)
    assert found
    names = [name.removeprefix("CAP_").lower() for name in found[1].split()]
    return ["setpriv", "--no-new-privs", f"--bounding-set=-all,{','.join(f'+{name}' for name in (*names, *more))}"]


@pytest.fixture
def agent(switch: OpenVSwitch, controller: FakeController, tmp_path: Path) -> Iterator[AgentProcess]:
    one = AgentProcess(switch, tmp_path / "state")
    one.join(controller)
    # Here, unlike on a hypervisor, the switch lives in another namespace: only who may trace it sees in which.
    one.command[:0] = allowed("sys_ptrace")
    yield one
    one.stop()
    print(one.log.read_text())


def test_guests_are_served(
    switch: OpenVSwitch, controller: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    controller.change(NETWORK, SUBNET, GROUP, PORTS[0])
    agent.start()
    agent.wait_log("services_ready")
    guest = switch.add_guest(PORTS[0].id, PORTS[0].mac)
    controller.wait_status(PORTS[0].id, "ACTIVE")
    assert lease(switch, guest, tmp_path)["ip"] == "10.0.0.11"
    assert "services_failed" not in agent.log.read_text()


def test_routers_get_their_namespaces() -> None:
    """What `dataplane.nat` runs, and the name outlives who ran it."""
    space = f"smt-{secrets.token_hex(3)}"
    inside = ("ip", "netns", "exec", space)
    try:
        for command in (
            ("ip", "netns", "add", space),
            (*inside, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"),
            (*inside, "nft", "add", "table", "ip", "suimon"),
            (*inside, "ethtool", "-K", "lo", "tx", "off"),
            ("ip", "-n", space, "link", "set", "lo", "up"),
        ):
            run(*allowed(), *command)
        assert space in run("ip", "netns", "list")
        assert run(*allowed(), sys.executable, "-c", READ, space).split() == ["1", "suimon"]
    finally:
        subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


def test_nothing_gives_it_a_mount_namespace() -> None:
    settings = {line.partition("=")[0] for line in UNIT.read_text().splitlines() if not line.startswith("#")}
    assert not settings & set(MOUNTS)
