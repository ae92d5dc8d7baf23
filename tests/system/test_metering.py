"""Promise: what is metered is what guests sent and got, byte for byte, whatever dies meanwhile; and of what went
outside while the switch was dead, no more is claimed than is known.

A guest's own interface says what it really sent.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_GATEWAY
from suimon.lab.measure import Measure
from suimon.lab.migration import migrate
from suimon.lab.openstack import OpenStack
from tests.system import often
from tests.system.clouds import connect, eventually, guest, inside_network, outside_network, two_hypervisors
from tests.system.namespaces import inside

PINGS, PING_BYTES = 400, 1000
FRAME_BYTES = 14 + 20 + 8 + PING_BYTES
FEW = 5
MANY = 500
FIRST_S = 60
"""Many times as long as from one reading of counters to the next."""
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x2, 0x1000


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with two_hypervisors("metr", program=often.PROGRAM) as lab:
        yield lab


@pytest.fixture(scope="module")
def cloud(lab: Lab) -> Iterator[OpenStack]:
    """Asked again and again: `suimon usage` would take half a second of a processor each time."""
    with OpenStack(lab.layout) as made:
        yield made


def test_metered_is_what_was_sent_over_restarts_of_everything(lab: Lab, cloud: OpenStack) -> None:
    network, router = inside_network(lab, outside_network(lab))
    one, two = (guest(lab, network.id, name, host) for name, host in (("one", "hv1"), ("two", "hv2")))
    floating_ip(lab, network, router, one)
    near = two.lease["ip"].partition("/")[0]
    host = lab.layout.host("hv1")
    ping(lab, one, PUBLIC_GATEWAY, PINGS)
    ping(lab, one, near, PINGS)
    lab.cloud.kill_agent(host)
    lab.cloud.start_agent(host)
    lab.cloud.await_agent(host)
    ping(lab, one, PUBLIC_GATEWAY, PINGS)
    lab.cloud.kill_controller()
    lab.cloud.start_controller()
    eventually(lambda: agrees(lab, cloud, one, PINGS * 2), FIRST_S)
    lab.guests.unplug(one)
    lab.guests.plug(one)
    eventually(lambda: answered(lab, one), FIRST_S)
    lab.kill_vswitchd(host)
    lab.start_vswitchd(host)
    eventually(lambda: answered(lab, one), FIRST_S)
    ping(lab, one, PUBLIC_GATEWAY, PINGS)
    eventually(lambda: agrees(lab, cloud, one, PINGS * 3), FIRST_S)
    assert metered(cloud, two)["out_outside_bytes"] == 0
    project = usage(cloud, "project", connect(lab).current_project_id)
    assert project["total"]["out_bytes"] == sum(metered(cloud, each)["out_bytes"] for each in (one, two))


def test_who_moves_is_metered_on_and_stays_restricted(lab: Lab, cloud: OpenStack) -> None:
    """Counters of both hosts, one sum: what it sent is there once, whichever host it sent it from, up to the last
    packet before it moves.
    """
    network = connect(lab).network.create_network(name="moving")
    connect(lab).network.create_subnet(network_id=network.id, ip_version=4, cidr="10.11.0.0/24")
    mover, near = (guest(lab, network.id, name, "hv1", movable=True) for name in ("mover", "near"))
    address = near.lease["ip"].partition("/")[0]
    block = {"kind": "port_block", "target_kind": "port", "target": mover.port_id, "direction": "egress"}
    mail = {"protocol": "tcp", "port_min": 25, "port_max": 25, "reason": "mass mail"}
    cloud.ask("/operations/v1/restrictions", "POST", {"restriction": {**block, **mail}})
    measure = Measure(lab)
    for to in ("hv2", "hv1", ""):
        ping(lab, mover, address, PINGS)
        assert [measure.connection("mover", address, l4_port) for l4_port in (25, 80)] == ["silent", "refused"]
        if to:
            ping(lab, mover, address, PINGS)
            mover = migrate(lab, cloud, "mover", to)
    eventually(partial(sent, cloud, mover, 5 * PINGS * FRAME_BYTES), FIRST_S)
    assert metered(cloud, mover)["out_bytes"] <= counted(lab, mover)["tx_bytes"]


def test_what_is_sent_up_to_the_end_is_metered(lab: Lab, cloud: OpenStack) -> None:
    """One's interface is unplugged and gone, one's port is deleted while it is plugged, one's device dies with it."""
    network, switch = connect(lab).network, lab.switch("hv1")
    ports: dict[str, str] = {}
    taps: dict[str, tuple[str, Callable[[int], int]]] = {}
    with ExitStack() as plugged:
        for end in ("unplugged", "deleted", "died"):
            made = network.create_network(name=end)
            network.create_subnet(network_id=made.id, ip_version=4, cidr="10.12.0.0/24")
            ports[end] = network.create_port(network_id=made.id, binding_host_id="hv1").id
            taps[end] = plugged.enter_context(tap(lab, ports[end]))
        for end, (_, send) in taps.items():
            eventually(partial(begins, network, ports[end], send), FIRST_S)
        eventually(lambda: all(metered(cloud, port_id)["out_bytes"] for port_id in ports.values()), FIRST_S)
        out = {end: send(MANY) for end, (_, send) in taps.items()}
        switch.vsctl("del-port", "br-int", taps["unplugged"][0])
        network.delete_port(ports["deleted"])
        eventually(lambda: metered(cloud, ports["deleted"])["out_bytes"] == out["deleted"], FIRST_S)
        taps["deleted"][1](MANY)
    for end, port_id in ports.items():
        eventually(partial(sent, cloud, port_id, out[end]), FIRST_S)
        if end != "deleted":
            switch.vsctl("--if-exists", "del-port", "br-int", taps[end][0])
            network.delete_port(port_id)
    beat_s = time.time() + often.READ_EVERY_S
    eventually(lambda: time.time() > beat_s, 2 * often.READ_EVERY_S)
    assert {end: metered(cloud, port_id)["out_bytes"] for end, port_id in ports.items()} == out


@contextmanager
def tap(lab: Lab, port_id: str) -> Iterator[tuple[str, Callable[[int], int]]]:
    """A device as a virtual machine has it, plugged: its name, and what sends so many frames and says how many bytes it
    has sent in all.
    """
    host, device, total = lab.layout.host("hv1"), f"tap{port_id[:11]}", 0
    file = inside(host.namespace, partial(open_tap, device))

    def send(frames: int) -> int:
        nonlocal total
        for _ in range(frames):
            total += os.write(file, bytes(PING_BYTES))
        return total

    try:
        lab.switch("hv1").vsctl(
            "add-port", "br-int", device, "--", "set", "interface", device, f"external_ids:iface-id={port_id}"
        )
        yield device, send
    finally:
        os.close(file)


def open_tap(device: str) -> int:
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", device, "addrgenmode", "none", "up"], check=True)
    return file


def begins(network: Any, port_id: str, send: Callable[[int], int]) -> bool:
    return network.get_port(port_id).status == "ACTIVE" and send(1) > 0


def sent(cloud: OpenStack, one: Guest | str, least: int) -> bool:
    return metered(cloud, one)["out_bytes"] >= least


def agrees(lab: Lab, cloud: OpenStack, one: Guest, outside: int) -> bool:
    """All bytes, to the last one; of those outside so many large pings' each way, and of a few small ones."""
    told, real = metered(cloud, one), counted(lab, one)
    whole = (told["out_bytes"], told["in_bytes"]) == (real["tx_bytes"], real["rx_bytes"])
    pings = [told[f"{way}_outside_bytes"] / FRAME_BYTES for way in ("in", "out")]
    return whole and all(outside <= each <= outside + FEW for each in pings)


def metered(cloud: OpenStack, one: Guest | str) -> dict[str, int]:
    return dict(usage(cloud, "port", one if isinstance(one, str) else one.port_id)["total"])


def usage(cloud: OpenStack, kind: str, id_: str) -> dict[str, Any]:
    return dict(cloud.ask(f"/operations/v1/usage?{kind}_id={id_}&since={time.time() - 1800:.0f}")["usage"])


def counted(lab: Lab, one: Guest) -> dict[str, int]:
    """By the guest's own interface."""
    (told,) = json.loads(lab.guests.run(one, ["ip", "-s", "-j", "link", "show", "eth0"]))
    return {f"{way}_bytes": told["stats64"][way]["bytes"] for way in ("rx", "tx")}


def ping(lab: Lab, one: Guest, address: str, count: int) -> None:
    said = lab.guests.run(one, ["ping", "-q", "-c", str(count), "-i", "0.002", "-s", str(PING_BYTES), address])
    assert f" {count} received" in said, said


def answered(lab: Lab, one: Guest) -> bool:
    said = lab.guests.run(one, ["sh", "-c", f"ping -q -c 1 -W 1 {PUBLIC_GATEWAY} || true"])
    return " 1 received" in said


def floating_ip(lab: Lab, network: Any, router: Any, one: Guest) -> None:
    cloud = connect(lab).network
    cloud.create_ip(floating_network_id=router.external_gateway_info["network_id"], port_id=one.port_id)
    eventually(lambda: answered(lab, one), FIRST_S)
