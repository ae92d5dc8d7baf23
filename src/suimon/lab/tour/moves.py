"""Step 9: a guest moves to another hypervisor while it is talked to."""

from __future__ import annotations

import time

from suimon.lab.migration import migrate
from suimon.lab.tour.guide import Guide

_PPS = 1000
_MOST_LOST = 1000


def show(guide: Guide) -> None:
    guide.tell("A guest that can move, on hypervisor 1; blue2 talks to it by UDP and TCP, and it goes to hypervisor 3.")
    # Only Nova's guests migrate.
    of_nova = ("--device-owner", "compute:nova")
    port = guide.cloud.create("port", "create", "mover1", "--network", "blue", "--host", "hv1", *of_nova)
    guide.boot("hv1", port, movable=True)
    address, lasts = guide.address("mover1"), ("--seconds", "60")
    guide.ping("blue2", address, through="through the tunnel")
    probe = guide.measure.probe
    with probe("mover1", "receive", "9000") as receiver, probe("mover1", "accept", "9001") as server:
        receiver.ready()
        server.ready()
        with (
            probe("blue2", "send", address, "9000", *lasts, "--pps", str(_PPS)) as sender,
            probe("blue2", "stream", address, "9001", *lasts, "--kbps", "800") as client,
        ):
            time.sleep(1)
            _migrate(guide)
            time.sleep(1)
            sent, streamed = sender.enough().result(), client.enough().result()
        received, got = receiver.enough().result(), server.result()
    lost = sent["sent"] - received["received"]
    guide.check(lost < _MOST_LOST, f"UDP packets to mover1, {_PPS} a second, lost", f"{lost} of {sent['sent']}")
    whole = not streamed["failure"] and got["intact"] and got["bytes"] == streamed["bytes"]
    guide.check(whole, "its TCP connection goes on, and every byte arrives", f"{got['bytes']} bytes")
    home = guide.cloud.show("port", "mover1")
    guide.check((home["binding_host_id"], home["status"]) == ("hv3", "ACTIVE"), "mover1 is ACTIVE on", "hv3")


def _migrate(guide: Guide) -> None:
    """As the command does, which would start a client of its own."""
    guide.command("$ suimon lab guest migrate mover1 --to hv3")
    migrate(guide.lab, guide.cloud, "mover1", "hv3")
