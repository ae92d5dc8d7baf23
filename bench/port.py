"""From the client's POST of a port to the first packet of its guest: `make bench-port`.

Brings up a lab of its own with two hypervisors. Each round a guest is plugged into hypervisor 1 with its MAC and
address already set, sending a numbered UDP packet every millisecond to an echo guest. Then the port is created by one
POST (bound to the host), its id is written on the guest's interface (what Nova's os-vif does), and the clock stops
when the guest gets its first echo: there and back, through both ports' security groups. Odd rounds talk to an echo on
the same hypervisor, even ones through the tunnel.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec

from suimon.dataplane import ovsdb
from suimon.lab import processes
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig
from suimon.lab.openstack import OpenStack

ECHO: Final = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 7)); print("ready", flush=True)
while True:
    data, peer = s.recvfrom(64); s.sendto(data, peer)
"""
FIRST: Final = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.001); print("ready", flush=True)
end = time.monotonic() + 20
while time.monotonic() < end:
    try:
        s.sendto(b"x", (sys.argv[1], 7)); s.recv(64); print(time.monotonic()); break
    except OSError:
        pass
"""
GOAL_MS: Final = 40
Json = dict[str, Any]


class Cloud:
    """The network API over one kept connection, with a token got beforehand: a client in a loop, not a command."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def create(self, path: str, body: Json) -> Json:
        async with self._session.post(f"/v2.0/{path}", json=body) as answer:
            answer.raise_for_status()
            (made,) = (await answer.json()).values()
            return made

    async def delete(self, path: str) -> None:
        async with self._session.delete(f"/v2.0/{path}") as answer:
            answer.raise_for_status()


class Round(msgspec.Struct, frozen=True):
    """Milliseconds since the POST was sent."""

    remote: bool
    answered_ms: float
    first_packet_ms: float


async def measure(lab: Lab, rounds: int) -> list[Round]:
    token = OpenStack(lab.layout).run("token", "issue", "-f", "value", "-c", "id").strip()
    database = lab.layout.host("hv1").rundir / "db.sock"
    async with aiohttp.ClientSession(lab.layout.api_url, headers={"X-Auth-Token": token}) as session:
        cloud = Cloud(session)
        network = (await cloud.create("networks", {"network": {"name": "bench"}}))["id"]
        await cloud.create("subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.77.0.0/16"}})
        echoes = [await _echo(lab, cloud, network, host) for host in ("hv1", "hv2")]
        switch = ovsdb.Connection(ovsdb.Config(), database, {"Interface": ["name"]}, lambda _updates: None)
        serving = asyncio.create_task(switch.run())
        found = [await _round(lab, cloud, switch, network, echoes[number % 2], number) for number in range(rounds + 4)]
        serving.cancel()
    return found[4:]


async def _echo(lab: Lab, cloud: Cloud, network: str, host: str) -> Guest:
    port = await cloud.create("ports", {"port": {"network_id": network, "binding:host_id": host}})
    guest = lab.guests.add(f"echo-{host}", host, port["id"], port["mac_address"])
    address = port["fixed_ips"][0]["ip_address"]
    lab.guests.run(guest, ["ip", "address", "add", f"{address}/16", "dev", "eth0"])
    _inside(lab, guest, ECHO)
    return msgspec.structs.replace(guest, lease={"ip": address})


async def _round(lab: Lab, cloud: Cloud, switch: ovsdb.Connection, network: str, echo: Guest, number: int) -> Round:
    mac, address = f"fa:16:3e:77:{number >> 8:02x}:{number & 255:02x}", f"10.77.200.{number + 1}"
    nobody = f"{number:08x}-0000-4000-8000-000000000000"
    guest = lab.guests.add(f"new{number}", "hv1", nobody, mac)
    await switch.transact([_iface_id(guest.device, "")])
    lab.guests.run(guest, ["ip", "address", "add", f"{address}/16", "dev", "eth0"])
    lab.guests.run(guest, ["ip", "neigh", "add", echo.lease["ip"], "lladdr", echo.mac, "dev", "eth0"])
    sender = _inside(lab, guest, FIRST, echo.lease["ip"])
    wanted = {"network_id": network, "binding:host_id": "hv1", "mac_address": mac}
    begun = time.monotonic()
    port = await cloud.create("ports", {"port": wanted | {"fixed_ips": [{"ip_address": address}]}})
    answered = time.monotonic()
    await switch.transact([_iface_id(guest.device, port["id"])])
    said, _ = await asyncio.to_thread(sender.communicate, timeout=30)
    first = float(said)
    lab.guests.remove(guest.name)
    await cloud.delete(f"ports/{port['id']}")
    return Round(echo.host != "hv1", (answered - begun) * 1000, (first - begun) * 1000)


def _iface_id(device: str, port_id: str) -> ovsdb.Operation:
    where = [["name", "==", device]]
    ids = ["map", [["iface-id", port_id]] if port_id else []]
    return {"op": "update", "table": "Interface", "where": where, "row": {"external_ids": ids}}


def _inside(lab: Lab, guest: Guest, program: str, *args: str) -> subprocess.Popen[str]:
    """A small program in the guest, once it says that it is ready."""
    command = lab.guests.inside(guest, [sys.executable, "-I", "-c", program, *args])
    env = processes.environment(lab.layout.directory)
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def show(rounds: Sequence[Round]) -> None:
    print(f"{'way':<14}{'n':>4}{'POST answered, ms':>20}{'first packet, ms':>18}{'p90':>7}{'max':>7}{'of goal':>9}")
    ways = {"same host": [r for r in rounds if not r.remote], "tunnel": [r for r in rounds if r.remote], "all": rounds}
    for way, some in ways.items():
        firsts = sorted(r.first_packet_ms for r in some)
        median, p90 = statistics.median(firsts), firsts[int(len(firsts) * 0.9)]
        answered = statistics.median(r.answered_ms for r in some)
        ratio = f"{median / GOAL_MS:.2f}"
        print(f"{way:<14}{len(some):>4}{answered:>20.1f}{median:>18.1f}{p90:>7.1f}{firsts[-1]:>7.1f}{ratio:>9}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    lab = Lab(LabConfig(name="bench", hosts=2, number=77, api_port=9777), say=lambda line: print(line, file=sys.stderr))
    lab.up()
    try:
        rounds = asyncio.run(measure(lab, args.rounds))
    finally:
        lab.down()
    show(rounds)
    median = statistics.median(r.first_packet_ms for r in rounds)
    print(f"median {median:.1f} ms from POST to the first packet; the goal is {GOAL_MS} ms")
    return 0 if median <= GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
