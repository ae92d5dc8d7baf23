"""Promise: with an outside address that an operator blocks nobody in the cloud talks any more, whoever begins and
whatever was open; with its neighbour as before, and with itself again once it is released.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from suimon.lab.error import LabError
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.openstack import OpenStack
from tests.patience import patient
from tests.system.clouds import connect, eventually, guest, inside_network, outside_network, two_hypervisors
from tests.system.loop_scene import SERVERS
from tests.system.namespaces import inside

BLOCKED, OTHER = "198.18.0.9", "198.18.0.10"
SERVED = 8080
Ends = tuple[socket.socket, socket.socket]


class Scene:
    """A guest with a floating IP that anybody may reach, and an outside of two servers, which may begin, too."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.cloud = lab, OpenStack(lab.layout)
        outside = outside_network(lab)
        network, _ = inside_network(lab, outside)
        lab.add_internet_servers(SERVERS)
        self.guest: Guest = guest(lab, network.id, "one", "hv1")
        neutron = connect(lab).network
        (group,) = neutron.get_port(self.guest.port_id).security_group_ids
        neutron.create_security_group_rule(security_group_id=group, direction="ingress", protocol="tcp")
        made = neutron.create_ip(floating_network_id=outside.id, port_id=self.guest.port_id)
        self.address = str(made.floating_ip_address)
        eventually(lambda: self.talks(OTHER) == [True, True], 60)

    def restrictions(self, path: str, body: dict[str, object]) -> dict[str, object]:
        return dict(self.cloud.ask(f"/operations/v1/restrictions{path}", "POST", body))

    def opened(self, server: str) -> Ends | None:
        """A connection that the guest opens, its end first."""
        return _connected((self.guest.namespace, ""), (self.lab.layout.internet, server), server)

    def entered(self, server: str) -> Ends | None:
        """One that the server opens to the floating IP."""
        return _connected((self.lab.layout.internet, server), (self.guest.namespace, ""), self.address)

    def talks(self, server: str) -> list[bool]:
        """Whether there comes to be a connection from the guest, and from the server."""
        with ExitStack() as stack:
            tried = [self.opened(server), self.entered(server)]
            for end in (end for ends in tried for end in ends or ()):
                stack.enter_context(end)
            return [ends is not None for ends in tried]

    def pings(self, server: str) -> bool:
        said = self.lab.guests.run(self.guest, ["sh", "-c", f"ping -q -c 3 -i 0.2 -W 1 {server} || true"])
        return " 3 received" in said


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with two_hypervisors("outs", hosts=1) as lab:
        yield Scene(lab)


def test_a_blocked_address_is_cut_in_both_directions_and_no_other_is(scene: Scene) -> None:
    with ExitStack() as stack:
        before = {server: [scene.opened(server), scene.entered(server)] for server in (BLOCKED, OTHER)}
        for end in (end for tried in before.values() for ends in tried for end in ends or ()):
            stack.enter_context(end)
        assert all(_alive(ends) for tried in before.values() for ends in tried)
        assert scene.pings(BLOCKED)
        blocked = {"kind": "port_block", "target_kind": "outside_address", "target": BLOCKED, "reason": "it scans us"}
        scene.restrictions("", {"restriction": blocked})
        eventually(lambda: not scene.pings(BLOCKED))
        assert [_alive(ends) for ends in before[BLOCKED]] == [False, False]
        assert scene.talks(BLOCKED) == [False, False]
        assert [_alive(ends) for ends in before[OTHER]] == scene.talks(OTHER) == [True, True]
        assert scene.pings(OTHER)
    scene.restrictions("/release", {"why": "it stopped"})
    eventually(lambda: scene.talks(BLOCKED) == [True, True])


@pytest.mark.parametrize("kind", ["rate_limit", "packet_rate_limit", "quarantine"])
def test_it_can_be_blocked_and_nothing_else(scene: Scene, kind: str) -> None:
    asked = {"kind": kind, "target_kind": "outside_address", "target": BLOCKED, "reason": "it scans us"}
    with pytest.raises(LabError, match="can be blocked"):
        scene.restrictions("", {"restriction": asked})


def _connected(near: tuple[str, str], far: tuple[str, str], to: str) -> Ends | None:
    """Between a namespace and own address each; None if it doesn't come about.

    Who is answered by another address than it goes on from is not heard, or reset: its floating IP came in between.
    """
    with inside(far[0], partial(_socket, far[1], SERVED)) as listener:
        listener.listen()
        caller = inside(near[0], partial(_socket, near[1], 0))
        try:
            caller.connect((to, SERVED))
            answering, _ = listener.accept()
        except (TimeoutError, ConnectionResetError):
            caller.close()
            return None
    answering.settimeout(patient(1))
    return caller, answering


def _socket(address: str, l4_port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, l4_port))
    made.settimeout(patient(1))
    return made


def _alive(ends: Ends | None) -> bool:
    assert ends is not None
    try:
        ends[0].send(b"helo")
        return ends[1].recv(4) == b"helo"
    except TimeoutError:
        return False
