"""What the doctor says of which machine, and that its probes tell what is there."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from suimon.doctor import Facts, Reach, Supervision, Verdict, examine, probe, supervised

PROGRAMS = ("ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ip", "ethtool", "nft", "udhcpc", "sysctl")
HEALTHY = Facts(
    root=True,
    programs=dict.fromkeys(PROGRAMS, True),
    openvswitch_version="3.5.0",
    socket_path="/run/openvswitch/db.sock",
    socket="open",
    kernel_datapath="loaded",
    tun_device=True,
    unix_time_s=1_795_000_000,
    clock_synchronised=True,
    controller=Reach("http://10.0.0.1:9697", offset_s=0.2),
    supervision=Supervision("on-failure", "0", "5"),
    zone_limits=(65_536,) * 4,
    most_connections=262_144,
)


def verdict(what: str, **changed: Any) -> Verdict:
    found = [v for v in examine(msgspec.structs.replace(HEALTHY, **changed)) if v.what.startswith(what)]
    assert len(found) == 1
    return found[0]


def test_a_healthy_machine_has_nothing_to_mend() -> None:
    assert [v for v in examine(HEALTHY) if v.level != "ok" or v.mend] == []


@pytest.mark.parametrize(
    ("what", "changed", "level", "mend"),
    [
        ("permissions", {"root": False}, "fail", "sudo"),
        ("programs", {"programs": {**HEALTHY.programs, "ovs-vsctl": False}}, "fail", "openvswitch-switch"),
        ("programs", {"programs": {}}, "fail", "ethtool iproute2 openvswitch-switch"),
        ("gateway programs", {"programs": {**HEALTHY.programs, "nft": False}}, "warn", "apt-get install nftables"),
        ("gateway programs", {"programs": {**HEALTHY.programs, "sysctl": False}}, "warn", "apt-get install procps"),
        ("lab programs", {"programs": {**HEALTHY.programs, "udhcpc": False}}, "warn", "apt-get install udhcpc"),
        ("Open vSwitch version", {"openvswitch_version": None}, "fail", "install"),
        ("Open vSwitch version", {"openvswitch_version": "2.5.1"}, "fail", "2.8 or later"),
        ("Open vSwitch version", {"openvswitch_version": "2.17.9"}, "warn", "3.1"),
        ("database", {"socket": "absent"}, "fail", "openvswitch-switch"),
        ("database", {"socket": "Permission denied"}, "fail", "as root"),
        ("datapath", {"kernel_datapath": "available"}, "warn", "modprobe openvswitch"),
        ("datapath", {"kernel_datapath": "absent"}, "warn", "kernel"),
        ("datapath", {"kernel_datapath": "absent", "tun_device": False}, "fail", "modprobe tun"),
        ("supervision", {"supervision": Supervision("no", "0", "5")}, "fail", "ovs-vswitchd.service.d"),
        ("supervision", {"supervision": Supervision("on-failure", "10s", "5")}, "warn", "ovs-vswitchd.service.d"),
        (
            "connections",
            {"zone_limits": (65_536,) * 5},
            "warn",
            "nf_conntrack_max=327680, or suimon agent --most-connections 52428",
        ),
        ("clock", {"unix_time_s": 1_000_000}, "fail", "set the clock"),
        ("clock", {"clock_synchronised": False}, "warn", "chrony"),
        ("controller", {"controller": Reach("http://x", "Connection refused")}, "fail", "suimon serve"),
        ("controller", {"controller": Reach("http://x", offset_s=-45.0)}, "fail", "NTP"),
        ("controller", {"controller": Reach("http://x", offset_s=5.0)}, "warn", "NTP"),
    ],
)
def test_what_is_wrong_is_told_with_what_mends_it(what: str, changed: dict[str, Any], level: str, mend: str) -> None:
    found = verdict(what, **changed)
    assert found.level == level and mend in found.mend


def test_version_3_1_is_fine_and_says_what_it_lacks() -> None:
    found = verdict("Open vSwitch version", openvswitch_version="3.1.0")
    assert found.level == "ok" and "ct(nat)" in found.seen


def test_limits_that_nobody_tells_are_no_fault() -> None:
    for unknown in ({"zone_limits": ()}, {"most_connections": None}):
        told = examine(msgspec.structs.replace(HEALTHY, **unknown))
        assert not [verdict for verdict in told if verdict.what == "connections"]


def test_an_unknown_clock_is_no_fault() -> None:
    assert verdict("clock", clock_synchronised=None).level == "ok"


def test_the_socket_is_really_tried(tmp_path: Path) -> None:
    path = str(tmp_path / "db.sock")
    assert probe(path, None).socket == "absent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert probe(path, None).socket == "Connection refused"
        server.listen()
        assert probe(path, None).socket == "open"


def test_a_controller_that_answers_tells_its_clock(controller: str) -> None:
    found = probe("/nowhere", controller).controller
    assert found is not None and found.failure == "" and found.offset_s is not None and 3500 < found.offset_s < 3700


@pytest.mark.parametrize("url", ["ftp://x", "http://127.0.0.1:1", "http://[", "nonsense"])
def test_a_controller_that_can_not_be_reached_is_a_failure_not_a_crash(url: str) -> None:
    found = probe("/nowhere", url).controller
    assert found is not None and found.failure


@pytest.fixture
def controller() -> Iterator[str]:
    """Answers 404 to everything, with a clock an hour ahead."""

    class Handler(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + 3600)

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_supervision_is_told_where_systemd_runs_the_switch() -> None:
    assert not [v for v in examine(msgspec.structs.replace(HEALTHY, supervision=None)) if v.what == "supervision"]
    assert verdict("supervision", supervision=Supervision("always", "10s", "0")).level == "ok"


def test_supervision_is_read_as_systemctl_shows_it() -> None:
    said = "Restart=on-failure\nStartLimitIntervalUSec=10s\nStartLimitBurst=5\nLoadState=loaded\n"
    assert supervised(said) == Supervision("on-failure", "10s", "5")
    assert supervised(said.replace("loaded", "not-found")) is None
    assert supervised("") is None, "systemd doesn't run here"
