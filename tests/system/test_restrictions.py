"""Promise: what an operator takes from a guest is gone at once, open connections too, and nothing else is; it stays
while agent and controller die, ends on time without them, and comes back when it is released.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from suimon.model.restriction import Restriction
from suimon.model.view import SecurityGroup, SecurityGroupRule
from tests.patience import patient
from tests.system.agent_process import Hypervisor, hypervisor
from tests.system.clouds import eventually
from tests.system.namespaces import inside
from tests.system.openvswitch import OpenVSwitch
from tests.system.streams import streamed
from tests.system.test_agent import NETWORK, SUBNET, lease, port

OPEN = SecurityGroup("open", (SecurityGroupRule("r1", "egress", "IPv4"), SecurityGroupRule("r2", "ingress", "IPv4")))
PORTS = tuple(msgspec.structs.replace(port(number), groups=(OPEN.id,)) for number in (1, 2, 3))
SPAMMER, SERVER, OPERATOR = range(3)
SERVICES = "169.254.169.254"
RATE_KBPS, BURST_KBIT = 2000, 500
Ends = tuple[socket.socket, socket.socket]


class Host:
    """A hypervisor with three guests that may all talk."""

    def __init__(self, switch: OpenVSwitch, made: Hypervisor) -> None:
        self.switch, self.controller, self.agent, self.guests = switch, *made

    def restrict(self, kind: str, **values: Any) -> None:
        one = Restriction("r", kind, "port", PORTS[SPAMMER].id, host="h1", reason="spam", **values)  # type: ignore[arg-type]
        self._in_force(self.controller.change(one))

    def release(self) -> None:
        self._in_force(self.controller.change(deleted=[("restriction", "r")]))

    def restart_agent(self) -> None:
        before = self.agent.log.stat().st_size
        self.agent.start()
        self.agent.wait_log("view_in_force", before)

    def connected(self, to: int, l4_port: int) -> Ends | None:
        """Both ends, the spammer's first; None if it doesn't come about."""
        with self._socket(to) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", l4_port))
            listener.listen()
            near = self._socket(SPAMMER)
            try:
                near.connect((PORTS[to].fixed_ips[0].ip, l4_port))
            except TimeoutError:
                near.close()
                return None
            far, _ = listener.accept()
        far.settimeout(patient(1))
        return near, far

    def reaches(self, to: int, l4_port: int) -> bool:
        ends = self.connected(to, l4_port)
        for end in ends or ():
            end.close()
        return ends is not None

    def _socket(self, guest: int) -> socket.socket:
        made = inside(self.guests[guest], socket.socket)
        made.settimeout(patient(1))
        return made

    def _in_force(self, revision: int) -> None:
        self.controller.wait_report(lambda report: report.position.revision >= revision)


@pytest.fixture(scope="module")
def host(kept_switch: OpenVSwitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    state = tmp_path_factory.mktemp("agent") / "state"
    with hypervisor(kept_switch, state, (NETWORK, SUBNET, OPEN), PORTS) as made:
        yield Host(kept_switch, made)


def test_mail_is_cut_and_nothing_else_and_stays_so_while_everything_restarts(host: Host) -> None:
    with ExitStack() as stack:
        ends = {l4_port: _kept(stack, host.connected(SERVER, l4_port)) for l4_port in (25, 587, 80)}
        assert all(_talk(*each) for each in ends.values())
        host.restrict("port_block", direction="egress", protocol=6, port_min=25, port_max=25)
        assert [l4_port for l4_port, each in ends.items() if _talk(*each)] == [587, 80]
        assert not host.reaches(SERVER, 25)
        host.agent.kill()
        host.controller.stop()
        assert not host.reaches(SERVER, 25) and _talk(*ends[587])
        host.restart_agent()
        assert not host.reaches(SERVER, 25) and _talk(*ends[587]) and host.reaches(SERVER, 80)
        host.controller.start()
        host.release()
        assert host.reaches(SERVER, 25) and _talk(*ends[80])


def test_it_ends_on_time_without_a_controller(host: Host) -> None:
    ends_s = time.time() + 4
    host.restrict("port_block", direction="egress", protocol=6, port_min=25, port_max=25, expires_s=ends_s)
    host.controller.stop()
    assert not host.reaches(SERVER, 25) or time.time() > ends_s
    eventually(lambda: host.reaches(SERVER, 25))
    assert time.time() >= ends_s
    host.controller.start()
    host.release()


def test_in_quarantine_a_guest_has_its_own_host_and_the_operator(host: Host, tmp_path: Path) -> None:
    host.restrict("quarantine", allowed=(f"{PORTS[OPERATOR].fixed_ips[0].ip}/32",))
    spammer = host.guests[SPAMMER]
    assert not host.reaches(SERVER, 80) and host.reaches(OPERATOR, 80)
    assert lease(host.switch, spammer, tmp_path)["ip"] == PORTS[SPAMMER].fixed_ips[0].ip
    host.switch.exec("ip", "route", "replace", SERVICES, "dev", "eth0", guest=spammer)
    for l4_port in (80, 53):
        inside(spammer, lambda at=(SERVICES, l4_port): socket.create_connection(at, patient(5))).close()
    host.release()
    assert host.reaches(SERVER, 80)


def test_a_rate_limit_is_what_gets_through(host: Host) -> None:
    host.restrict("rate_limit", direction="egress", rate_kbps=RATE_KBPS)
    ends = host.connected(SERVER, 8001)
    assert ends
    received, lasted_s = streamed(*ends)
    kbits, allowed = 8 * received / 1000, RATE_KBPS * lasted_s
    assert 0.5 * allowed < kbits < 1.05 * (allowed + BURST_KBIT), f"{kbits:.0f} kbit in {lasted_s:.2f} s"
    host.release()


def _kept(stack: ExitStack, ends: Ends | None) -> Ends:
    assert ends
    for end in ends:
        stack.enter_context(end)
    return ends


def _talk(near: socket.socket, far: socket.socket) -> bool:
    near.send(b"helo")
    with suppress(TimeoutError):
        return far.recv(4) == b"helo"
    return False
