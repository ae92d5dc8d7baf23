"""Promise: a port is judged by what its host counts of it now, what it tries and what passes apart."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import msgspec
import pytest

from suimon.detection.engine import of_drops
from suimon.detection.thresholds import Thresholds
from suimon.model.counts import Activity, Metered, Reading
from suimon.model.findings import Finding
from suimon.model.questions import Look
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config as HistoryConfig
from suimon.telemetry.meter.history import History
from suimon.telemetry.meter.meters import Config as MetersConfig
from suimon.telemetry.meter.meters import Meters
from tests.patience import patient
from tests.system.live import LiveCloud
from tests.system.namespaces import inside
from tests.system.openvswitch import OpenVSwitch

MAC = "02:00:00:00:00:"
WORLD = f"""
host h1
network blue vxlan 100
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
group open egress:any ingress:any
port spammer h1 blue {MAC}01 10.0.0.11 groups=open
port busy h1 blue {MAC}02 10.0.0.12 groups=open
port server h1 blue {MAC}03 10.0.0.13 groups=open pairs={MAC}03@10.0.0.96/27
"""
SERVERS = [f"10.0.0.{number}" for number in range(100, 110)]
A_SECOND = 50
WHOSE = Metered("project", "blue")
MAIL = Look("q", "spammer", protocol=6, l4_port=25, span_s=1.0)


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> Iterator[LiveCloud]:
    made = LiveCloud(kept_switch, WORLD)
    for address in SERVERS:
        made.run("server", "ip", "address", "add", f"{address}/24", "dev", "eth0")
    with ExitStack() as open_:
        for l4_port in (25, 587):
            # Nobody takes the sessions up; its kernel answers all the same.
            open_.enter_context(made.socket("server", socket.SOCK_STREAM, l4_port)).listen(4096)
        made.run("server", "sysctl", "-qw", "net.core.somaxconn=8192")
        yield made


@contextmanager
def going_on(live: LiveCloud, guest: str, act: Callable[[int], None]) -> Iterator[None]:
    """Again and again meanwhile, in the guest; from the tenth time on at least, for its neighbours to be known."""
    over, begun = threading.Event(), threading.Event()

    def repeat() -> None:
        for number in count():
            act(number)
            if number == len(SERVERS):
                begun.set()
            if over.wait(1 / A_SECOND):
                return

    thread = threading.Thread(target=lambda: inside(live.namespace(guest), repeat))
    thread.start()
    try:
        assert begun.wait(patient(20))
        yield
    finally:
        over.set()
        thread.join()


def session(l4_port: int) -> Callable[[int], None]:
    """With one server after the other."""

    def act(number: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as near:
            near.settimeout(patient(5))
            near.connect((SERVERS[number % len(SERVERS)], l4_port))

    return act


def test_who_opens_sessions_is_told_from_who_opens_others(live: LiveCloud) -> None:
    others = going_on(live, "spammer", session(587)), going_on(live, "busy", session(25))
    with going_on(live, "spammer", session(25)), others[0], others[1]:
        seen = live.look(MAIL)
    assert seen.sessions and 0 < seen.sessions <= A_SECOND * seen.span_s + 1
    assert seen.peers == min(len(SERVERS), seen.sessions)
    assert seen.sent_packets >= 2 * seen.sessions
    quiet = live.look(MAIL)
    assert (quiet.sessions, quiet.restricted_out) == (0, None)
    assert live.look(Look("q", "server", "ingress", 6, 25)).sessions == 0, "nobody begins anything now"


def test_a_block_lets_nothing_pass_and_tells_who_goes_on_trying(live: LiveCloud) -> None:
    def knock(number: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as near:
            near.setblocking(False)
            with suppress(BlockingIOError):
                near.connect((SERVERS[number % len(SERVERS)], 25))

    live.change("restrict b port spammer port_block:egress:tcp/25")
    with going_on(live, "spammer", knock), going_on(live, "spammer", session(587)):
        seen = live.look(msgspec.structs.replace(MAIL, drops=True))
        others = live.look(msgspec.structs.replace(MAIL, l4_port=587))
    live.forget("restrict", "b")
    assert seen.sessions == 0 and others.sessions
    assert seen.restricted_out and seen.forged == seen.restricted_in == 0


def test_a_limit_tells_how_much_it_drops(live: LiveCloud) -> None:
    def flood(_: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(200):
                sender.sendto(b"x", (SERVERS[0], 9))

    live.change("restrict l port spammer packet_rate_limit:egress:1")
    with going_on(live, "spammer", flood):
        seen = live.look(msgspec.structs.replace(MAIL, drops=True))
    live.forget("restrict", "l")
    assert seen.restricted_out is not None
    passed = (seen.sent_packets - seen.restricted_out) / seen.span_s
    assert seen.sent_packets / seen.span_s > 2000 and passed < 1500


def test_who_forges_is_counted_and_becomes_a_finding(live: LiveCloud, tmp_path: Path) -> None:
    live.run("busy", "ip", "address", "add", "10.0.0.66/32", "dev", "eth0")
    seen: list[Activity] = []

    def forge(_: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("10.0.0.66", 0))
            for _ in range(20):
                sender.sendto(b"x", (SERVERS[0], 9))

    def look() -> None:
        with going_on(live, "busy", forge):
            seen.append(live.look(Look("q", "busy", span_s=1.0, drops=True)))

    told = live.dropped(look)
    assert seen[0].forged and seen[0].restricted_out == 0
    meters = Meters(MetersConfig(), History(HistoryConfig(), Database(f"sqlite:///{tmp_path}/metering.db")))
    found: list[Finding] = []
    engine = of_drops(Thresholds())
    meters.listen_to_drops(lambda dropped: found.extend(engine.step(dropped, time.time())))
    meters.take("h1", Reading("boot", 1.0, (), dropped=told), dict.fromkeys(("spammer", "busy", "server"), WHOSE))
    assert [(each.detector, each.subject.id, each.role) for each in found] == [("forging", "busy", "source")]
