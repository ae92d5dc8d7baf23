"""What is lost is what the network lost: a sender goes on while nobody tells it again where its neighbour is."""

import secrets
import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator

import pytest

from tests.chaos import probe
from tests.system.openvswitch import run

_SILENT_S = 4.5
"""Half a second until an address is asked for again, and three questions, one a second."""
_OLD_SOON = ("base_reachable_time_ms=200", "delay_first_probe_time=0")


@pytest.fixture
def guests() -> Iterator[tuple[str, str]]:
    """Two, on one wire; the second is 10.9.9.2 and tells nobody, but for what the first knows already."""
    names = (f"smt-{secrets.token_hex(3)}", f"smt-{secrets.token_hex(3)}")
    try:
        for name in names:
            run("ip", "netns", "add", name)
        run("ip", "-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for number, name in enumerate(names, 1):
            run("ip", "-n", name, "addr", "add", f"10.9.9.{number}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_a_sender_goes_on_while_its_neighbour_is_silent(guests, tmp_path) -> None:
    one, other = guests
    run("ip", "netns", "exec", one, "sysctl", "-qw", *(f"net.ipv4.neigh.eth0.{each}" for each in _OLD_SOON))
    run("ip", "netns", "exec", one, "ping", "-c1", "-W5", "10.9.9.2")
    run("ip", "netns", "exec", other, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=8")
    sent, received = tmp_path / "sent", tmp_path / "received"
    receiver = start(other, "receive", "9000", str(received))
    assert receiver.stdout is not None
    receiver.stdout.readline()
    sender = start(one, "send", "10.9.9.2", "9000", "50", str(sent))
    time.sleep(_SILENT_S)  # That nothing happens has no event.
    for child in (sender, receiver):
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=30)
    times, came = array("d", sent.read_bytes()), array("Q", received.read_bytes())
    assert times[-1] - times[0] > _SILENT_S / 2
    assert len(came) == len(times)


def start(guest: str, *arguments: str) -> "subprocess.Popen[str]":
    command = ["ip", "netns", "exec", guest, sys.executable, "-I", probe.__file__, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
