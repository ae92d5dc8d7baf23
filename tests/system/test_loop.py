"""Promise: what a guest really sends is found, restricted at its port, proved and undone, by itself and once, whatever
dies in between; and nobody else is touched.

All parts are as in production: the switch exports, the collector finds, the gate asks the host, the agent restricts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from suimon.lab.error import LabError
from suimon.lab.guests import Guest
from tests.system.clouds import eventually, two_hypervisors
from tests.system.loop_scene import PATIENCE_S, SERVER, Json, Scene

PINGS = 300
RULES = """
limits: {verify_after_s: 3, acts_an_hour: 20}
rules:
  - {name: spam, detector: mass_mail, for: {everyone: true}, mode: MODE,
     do: {kind: port_block, protocol: tcp, port_min: 25, port_max: 25, lasts_h: 1}}
  - {name: syn, detector: syn_flood, for: {everyone: true}, mode: MODE,
     do: {kind: packet_rate_limit, rate_kpps: 1, lasts_h: 1}}
  - {name: udp, detector: udp_flood, for: {everyone: true}, mode: MODE,
     do: {kind: packet_rate_limit, rate_kpps: 1, lasts_h: 1}}
  - {name: scan, detector: port_scan, for: {everyone: true}, mode: MODE, do: {kind: quarantine, lasts_h: 1}}
"""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with two_hypervisors("loop", hosts=1, sampling=1) as lab:
        yield Scene(lab, RULES)


def test_spam_is_found_blocked_on_25_alone_proved_and_undone(scene: Scene) -> None:
    spammer = scene.guest("spammer")
    with scene.serving():
        with scene.spamming(spammer) as probe:
            scene.await_act(spammer, "spam")
            eventually(lambda: scene.seen(spammer, 25) == "silent")
            assert scene.seen(spammer, 587) == scene.seen(scene.good, 25) == "open"
            # It still tries: that less gets through was measured, not that it stopped.
            incident = scene.await_act(spammer, "spam", lambda one: one["bites"] is not None)
            sent = probe.enough().result()
        assert incident["bites"] is True and sent["done"] < sent["begun"]
        assert scene.acted(scene.good) == []
        (block,) = scene.active(spammer)
        assert (block["kind"], block["protocol"], block["port_min"], block["port_max"]) == ("port_block", "tcp", 25, 25)
        scene.release()
        eventually(lambda: scene.seen(spammer, 25) == "open")
    assert scene.await_act(spammer, "spam", lambda one: one["state"] == "closed")["id"] == incident["id"]


def test_what_was_found_before_all_died_is_acted_on_once(scene: Scene) -> None:
    again, cloud = scene.guest("again"), scene.lab.cloud
    cloud.kill_collector()
    with scene.serving(), scene.spamming(again):
        now_s = time.time()
        scene.ask("findings", "POST", {"findings": [finding(again.port_id, now_s)]})
        cloud.kill_controller()
        cloud.start_controller()
        scene.await_act(again, "spam")
        cloud.kill_controller()
        cloud.start_controller()
        cloud.start_collector()
        # The new collector has found the same by itself, and that has been considered, too.
        eventually(lambda: len(told(scene, again)) > 1, PATIENCE_S)
        scene.await_act(again, "spam", lambda one: one["bites"] is not None)
    assert len(scene.acted(again)) == len(scene.active(again)) == 1


def test_with_the_collector_down_metering_goes_on(scene: Scene) -> None:
    one, cloud = scene.guest("metered"), scene.lab.cloud
    cloud.kill_collector()
    before = metered(scene, one)
    said = scene.lab.guests.run(one, ["ping", "-q", "-c", str(PINGS), "-i", "0.01", "-s", "1000", SERVER])
    assert f" {PINGS} received" in said, said
    eventually(lambda: metered(scene, one) >= before + PINGS * (1000 + 14 + 20 + 8), PATIENCE_S)
    with pytest.raises(LabError, match="No collector of flow records answers"):
        scene.ask("flows")
    cloud.start_collector()


def metered(scene: Scene, of: Guest) -> int:
    """Bytes that it sent to the outside."""
    asked = scene.ask(f"usage?port_id={of.port_id}&since={time.time() - 1800:.0f}")
    return int(asked["usage"]["total"]["out_outside_bytes"])


def told(scene: Scene, of: Guest) -> list[Json]:
    found = scene.ask("findings")["findings"]
    return [one for one in found if one["subject"]["id"] == of.port_id and one["detector"] == "mass_mail"]


def finding(port_id: str, now_s: float) -> Json:
    """As a collector says it."""
    return {
        "id": "told-by-one-that-died",
        "detector": "mass_mail",
        "subject": {"kind": "port", "id": port_id},
        "role": "source",
        "project_id": None,
        "since_s": now_s - 2,
        "seen_s": now_s,
        "confidence": 0.95,
        "numbers": {"sessions": 100.0, "servers": 100.0, "window_s": 2.0, "l4_port": 25.0, "sampling": 1.0},
        "words": "It opened 100 sessions to 100 servers on tcp/25 in 2 s.",
        "evidence": [],
    }


FLOOD = """
import socket, sys, time
begun, sent = time.monotonic(), 0
while time.monotonic() < begun + 60:
    with socket.socket() as s:
        s.setblocking(False)
        s.connect_ex((sys.argv[1], 9999))
    sent += 1
    time.sleep(max(0, begun + sent / 3000 - time.monotonic()))
"""
UDP = """
import contextlib, socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect((sys.argv[1], 9999))
    s.setblocking(False)
    begun, sent = time.monotonic(), 0
    while time.monotonic() < begun + 120:
        for _ in range(240):
            with contextlib.suppress(OSError):
                s.send(b"flood")
        sent += 240
        time.sleep(max(0, begun + sent / 24000 - time.monotonic()))
"""
SCAN = """
import socket, sys, time
for port in range(1000, 60000):
    with socket.socket() as s:
        s.setblocking(False)
        s.connect_ex((sys.argv[1], port))
    time.sleep(0.005)
"""


@pytest.mark.parametrize(
    ("rule", "program", "kind"),
    [("syn", FLOOD, "packet_rate_limit"), ("udp", UDP, "packet_rate_limit"), ("scan", SCAN, "quarantine")],
)
def test_floods_and_scans_are_found_and_restricted(scene: Scene, rule: str, program: str, kind: str) -> None:
    bad = scene.guest(f"bad-{rule}")
    with scene.running(bad, program):
        incident = scene.await_act(bad, rule, lambda one: one["bites"] is not None)
    assert incident["bites"] is True
    assert [one["kind"] for one in scene.active(bad)] == [kind]
    assert scene.acted(scene.good) == []
    scene.release()
