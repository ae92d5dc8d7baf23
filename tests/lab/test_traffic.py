"""The measuring tools measure: on the loopback device, where nothing is lost unless a test loses it."""

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from suimon.lab import traffic


def test_all_numbered_packets_arrive() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with receiver("receive", str(port), "--idle", "0.5") as result:
        sent = run("send", "127.0.0.1", str(port), "--seconds", "1", "--pps", "500")
    assert sent["sent"] in range(495, 506) and sent["refused"] == 0
    assert result["received"] == sent["sent"] and result["missing"] == []


def test_missing_packets_and_the_gap_are_told() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with receiver("receive", str(port), "--idle", "0.5") as result, socket.socket(type=socket.SOCK_DGRAM) as sock:
        for number in (0, 1, 4, 4):
            if number == 4:
                time.sleep(0.1)
            sock.sendto(struct.pack("!Q", number), ("127.0.0.1", port))
    assert result["received"] == 3 and result["missing"] == [2, 3]
    assert 90 <= result["longest_gap_ms"] < 400


def test_a_paced_rate_is_measured_with_its_headers() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with receiver("receive", str(port), "--idle", "0.5") as result:
        run("send", "127.0.0.1", str(port), "--seconds", "2.5", "--pps", "250", "--size", "472")
    assert abs(result["rate_kbps"] - 1000) < 30


def test_a_stream_arrives_whole() -> None:
    port = free_port(socket.SOCK_STREAM)
    with receiver("accept", str(port)) as result:
        sent = run("stream", "127.0.0.1", str(port), "--seconds", "2", "--kbps", "1600")
    assert result["bytes"] == sent["bytes"] > 300_000
    assert result["intact"] and result["ended"] == "closed" and abs(result["rate_kbps"] - 1600) < 100
    assert result["peer"] == "127.0.0.1"


def test_a_spoilt_stream_is_noticed() -> None:
    port = free_port(socket.SOCK_STREAM)
    with receiver("accept", str(port)) as result, socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(bytes([0, 1, 2, 9]))
    assert result["bytes"] == 4 and not result["intact"]


def test_both_ways() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with receiver("duplex", str(port), "--seconds", "1", bind="127.0.0.1") as far:
        begun = time.monotonic()
        near = run("duplex", str(port), "--seconds", "1", "--peer", "127.0.0.1", "--bind", "127.0.0.2")
    assert 80 <= near["received"] <= 105 and 80 <= far["received"] <= 105
    assert begun < near["last_at"] <= time.monotonic()


@pytest.mark.parametrize(("sends", "listens"), [("send", "receive"), ("stream", "accept")])
def test_what_was_enough_ends_well_at_once(sends: str, listens: str) -> None:
    port = free_port(socket.SOCK_STREAM if sends == "stream" else socket.SOCK_DGRAM)
    begun = time.monotonic()
    with (
        receiver(listens, str(port), "--idle", "0.5") as result,
        subprocess.Popen(command(sends, "127.0.0.1", str(port), "--seconds", "60"), stdout=subprocess.PIPE) as sender,
    ):
        assert sender.stdout and sender.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        sender.terminate()
        assert json.loads(sender.communicate(timeout=30)[0]) and sender.returncode == 0
    assert result.get("bytes", result.get("received")) > 10 and time.monotonic() - begun < 30


def test_who_receives_ends_once_it_is_enough_with_all_that_came() -> None:
    port = free_port(socket.SOCK_DGRAM)
    waits = ("--idle", "60", "--patience", "60")
    with subprocess.Popen(command("receive", str(port), *waits), stdout=subprocess.PIPE, text=True) as receiving:
        assert receiving.stdout and receiving.stdout.readline() == "ready\n"
        sent = run("send", "127.0.0.1", str(port), "--seconds", "0.3")
        receiving.terminate()
        result = json.loads(receiving.communicate(timeout=30)[0])
    assert result["received"] == sent["sent"] > 0 and receiving.returncode == 0


def test_sessions_go_to_each_address_in_turn_and_are_served() -> None:
    port = free_port(socket.SOCK_STREAM)
    with subprocess.Popen(command("serve", str(port)), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout and server.stdout.readline() == "ready\n"
        told = run("sessions", "127.0.0.0/29", str(port), "--per-second", "40", "--seconds", "1")
        server.terminate()
        served = json.loads(server.communicate(timeout=30)[0])["served"]
    assert 30 <= told["begun"] <= 41 and (told["done"], told["failed"]) == (told["begun"], 0)
    assert served == {str(port): told["done"]} and told["first_at"] < told["last_at"] <= time.monotonic()


def test_sessions_that_nobody_takes_have_failed() -> None:
    port = str(free_port(socket.SOCK_STREAM))
    told = run("sessions", "127.0.0.1", port, "--seconds", "0.2")
    assert (told["done"], told["last_at"]) == (0, None) and told["failed"] == told["begun"] > 0


def test_a_closed_port_refuses() -> None:
    assert run("connect", "127.0.0.1", str(free_port(socket.SOCK_STREAM))) == {"connection": "refused"}


def test_a_forged_packet_has_a_right_header_checksum() -> None:
    packet = traffic._udp_packet("10.0.0.1", "10.0.0.2", 9, b"abc")
    words = struct.unpack("!10H", packet[:20])
    assert (sum(words) & 0xFFFF) + (sum(words) >> 16) == 0xFFFF and packet.endswith(b"abc")


def command(*args: str) -> list[str]:
    return [sys.executable, "-I", traffic.__file__, *args]


def run(*args: str) -> dict[str, Any]:
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=30, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def receiver(*args: str, bind: str = "") -> Iterator[dict[str, Any]]:
    """Runs while the block does; its result is in what the block was given, once the block is left."""
    extra = ["--bind", bind] if bind else []
    child = subprocess.Popen(command(*args, *extra), stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = {}
    try:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        yield result
        result.update(json.loads(child.communicate(timeout=30)[0]))
    finally:
        child.kill()
        child.wait()


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
