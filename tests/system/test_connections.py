"""Promise: a guest fills its own conntrack zone and no neighbour's, and its limit is kept when the switch is not."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import msgspec
import pytest

from suimon.model.view import SecurityGroup, SecurityGroupRule
from suimon.pipeline.numbers import LOCAL_ZONES
from tests.patience import patient
from tests.system.agent_process import hypervisor
from tests.system.openvswitch import DATAPATH, OpenVSwitch
from tests.system.test_agent import NETWORK, SUBNET, port
from tests.system.test_services import Host

MOST = 40
ALL_HOST = 100
"""Connections of the whole host, in the datapath that can be told so."""
SHUT = SecurityGroup("shut", (SecurityGroupRule("r1", "egress", "IPv4"),))
OPEN = SecurityGroup("open", (*SHUT.rules, SecurityGroupRule("r2", "ingress", "IPv4", 6)))
UNTRACKED = SecurityGroup("stateless", SHUT.rules, stateful=False)
GROUPS = (SHUT, SHUT, OPEN, UNTRACKED)
PORTS = tuple(msgspec.structs.replace(port(number), groups=(group.id,)) for number, group in enumerate(GROUPS, 1))
MALLORY, NEIGHBOUR, SERVER = range(3)


@pytest.fixture(scope="module")
def host(kept_switch: OpenVSwitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Whose agent checks all the time."""
    state, options = (
        tmp_path_factory.mktemp("agent") / "state",
        ("--check-every", "0.4", "--most-connections", str(MOST)),
    )
    with hypervisor(kept_switch, state, (NETWORK, SUBNET, SHUT, OPEN, UNTRACKED), PORTS, *options) as made:
        host = Host(kept_switch, made.controller, state)
        host.guests = made.guests
        yield host


def test_who_opens_too_many_connections_takes_no_neighbour_s(host: Host) -> None:
    if DATAPATH == "netdev":
        host.switch.appctl("dpctl/ct-set-maxconns", str(ALL_HOST))
    host.inside(MALLORY, lambda: flood(10 * ALL_HOST))
    assert host.controller.ask(PORTS[MALLORY].id).connections == (MOST, MOST)
    assert host.switch.appctl("dpctl/dump-conntrack").count("sport=") < ALL_HOST, "there is room for others"
    listener = host.inside(SERVER, lambda: socket.create_server(("10.0.0.13", 80)))
    assert isinstance(listener, socket.socket)
    with listener, ExitStack() as opened:
        for _ in range(3):
            near = opened.enter_context(
                host.inside(NEIGHBOUR, lambda: socket.create_connection(("10.0.0.13", 80), patient(3)))
            )
            far = opened.enter_context(listener.accept()[0])
            far.send(b"answered")
            assert near.recv(20) == b"answered"
        told = host.controller.ask(PORTS[NEIGHBOUR].id).connections
    assert told and 3 <= told[0] < told[1] == MOST
    assert host.controller.ask(PORTS[3].id).connections is None, "nothing is remembered of it"


def test_a_limit_is_put_back_and_the_rest_left_alone(host: Host) -> None:
    limits = bounded(host.switch)
    assert sorted(limits.values()) == [MOST] * 3
    first, second, foreign = *list(limits)[:2], LOCAL_ZONES - 1
    host.switch.appctl("dpctl/ct-set-limits", f"zone={second},limit=7", f"zone={foreign},limit=5")
    host.switch.appctl("dpctl/ct-del-limits", f"zone={first}")
    assert told(host, first) == (1, 0, 0, True)
    assert told(host, second) == (0, 1, 0, True)
    assert bounded(host.switch) == limits | {foreign: 5}
    host.switch.kill("ovs-vswitchd")
    host.controller.reports.clear()
    host.switch.start_switch()
    host.controller.wait_report(lambda report: any(each.owner == "bridge/br-int" for each in report.drifts))
    assert {zone: most for zone, most in bounded(host.switch).items() if zone != foreign} == limits
    host.controller.change(deleted=[("port", PORTS[0].id)])
    host.controller.wait_report(lambda report: report.position.revision == host.controller.revision)
    assert len(bounded(host.switch).keys() - {foreign}) == 2


def flood(count: int) -> None:
    """So many connections, to where nobody lets them in."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(count):
            with suppress(BlockingIOError):
                sender.sendto(b"x", ("10.0.0.12", 10_000 + number))


def bounded(switch: OpenVSwitch) -> dict[int, int]:
    told = switch.appctl("dpctl/ct-get-limits")
    return {int(zone): int(limit) for zone, limit in re.findall(r"zone=(\d+),limit=(\d+)", told)}


def told(host: Host, zone: int) -> tuple[int, int, int, bool]:
    """Of the first drift of a zone: how many were missing, changed, or nobody's, and whether it was repaired."""
    example = f"limit of connections in zone {zone}"
    report = host.controller.wait_report(lambda report: any(each.example == example for each in report.drifts))
    drift = next(each for each in report.drifts if each.example == example)
    return drift.missing, drift.changed, drift.extra, drift.repaired
