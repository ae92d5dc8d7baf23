"""Promise: a port is judged by what its host counts of it now, what it tries and what passes apart."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from suimon.detection.counters import of_drops
from suimon.detection.thresholds import Thresholds
from suimon.model.counts import Activity, Metered, Reading
from suimon.model.findings import Finding
from suimon.model.questions import Look
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config as HistoryConfig
from suimon.telemetry.meter.history import History
from suimon.telemetry.meter.meters import Config as MetersConfig
from suimon.telemetry.meter.meters import Meters
from tests.system.live import LiveCloud
from tests.system.openvswitch import OpenVSwitch
from tests.system.senders import A_SECOND, MAC, SERVERS, going_on, senders, session

FEW = SERVERS[:10]
"""Each has several sessions in a second."""
WHOSE = Metered("project", "blue")
MAIL = Look("q", "spammer", protocol=6, l4_port=25, span_s=1.0)


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with senders(kept_switch, tmp_path_factory.mktemp("ip"), 25, 587) as made:
        yield made


def test_who_opens_sessions_is_told_from_who_opens_others(live: LiveCloud) -> None:
    others = going_on(live, "spammer", session(587, FEW)), going_on(live, "busy", session(25, FEW))
    with going_on(live, "spammer", session(25, FEW)), others[0], others[1]:
        seen = live.look(MAIL)
    assert seen.sessions and 0 < seen.sessions <= A_SECOND * seen.span_s + 1
    assert seen.peers == min(len(FEW), seen.sessions)
    assert seen.sent_packets >= 2 * seen.sessions
    quiet = live.look(MAIL)
    assert (quiet.sessions, quiet.restricted_out) == (0, None)
    assert live.look(Look("q", "server", "ingress", 6, 25)).sessions == 0, "nobody begins anything now"


def test_a_block_lets_nothing_pass_and_tells_who_goes_on_trying(live: LiveCloud) -> None:
    def knock(number: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as near:
            near.setblocking(False)
            with suppress(BlockingIOError):
                near.connect((FEW[number % len(FEW)], 25))

    live.change("restrict b port spammer port_block:egress:tcp/25")
    with going_on(live, "spammer", knock), going_on(live, "spammer", session(587, FEW)):
        seen = live.look(msgspec.structs.replace(MAIL, drops=True))
        others = live.look(msgspec.structs.replace(MAIL, l4_port=587))
    live.forget("restrict", "b")
    assert seen.sessions == 0 and others.sessions
    assert seen.restricted_out and seen.forged == seen.restricted_in == 0
    assert seen.let_on, "what goes to 587 passes"


def test_a_limit_tells_how_much_it_drops(live: LiveCloud) -> None:
    def flood(_: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(200):
                sender.sendto(b"x", (FEW[0], 9))

    live.change("restrict l port spammer packet_rate_limit:egress:1")
    with going_on(live, "spammer", flood):
        seen = live.look(msgspec.structs.replace(MAIL, drops=True))
    live.forget("restrict", "l")
    assert seen.restricted_out and seen.let_on
    assert seen.let_on < 0.9 * seen.sent_packets, "more came than is let on"
    assert seen.let_on / seen.span_s < 1500


def test_who_forges_is_counted_and_becomes_a_finding(live: LiveCloud, tmp_path: Path) -> None:
    live.run("busy", "ip", "address", "add", "10.0.0.66/32", "dev", "eth0")
    # Kernels ask again for whom they knew, answer, and look for routers, by their own addresses: that would be let on.
    live.silence("busy", "server")
    for guest in ("busy", "server"):
        live.run(guest, "ip", "neigh", "flush", "dev", "eth0")
    live.run("busy", "ip", "neigh", "replace", FEW[0], "lladdr", f"{MAC}03", "nud", "permanent", "dev", "eth0")
    seen: list[Activity] = []

    def forge(_: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("10.0.0.66", 0))
            for _ in range(20):
                sender.sendto(b"x", (FEW[0], 9))

    def look() -> None:
        with going_on(live, "busy", forge):
            seen.append(live.look(Look("q", "busy", span_s=1.0, drops=True)))

    told = live.dropped(look)
    assert seen[0].forged and seen[0].restricted_out == 0 and seen[0].let_on == 0
    meters = Meters(MetersConfig(), History(HistoryConfig(), Database(f"sqlite:///{tmp_path}/metering.db")))
    found: list[Finding] = []
    engine = of_drops(Thresholds())
    meters.listen_to_drops(lambda dropped: found.extend(engine.step(dropped, time.time())))
    meters.take("h1", Reading("boot", 1.0, (), dropped=told), dict.fromkeys(("spammer", "busy", "server"), WHOSE))
    assert [(each.detector, each.subject.id, each.role) for each in found] == [("forging", "busy", "source")]
