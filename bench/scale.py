"""One more port, one more rule, 5,000 ports, in clouds of different sizes: `make bench-port`, after bench/port.py.

Brings up a lab with two hypervisors for each layout and fills it: hypervisor 1 has 100 guests' interfaces, the other
ports are bound to hosts that have joined and don't run. Layout a is OVN's bench (50 networks, each with a router and
a security group; ten of them are on a host, with ten ports each; 52 hosts), layout b one network and one group for all
of 200 hosts.
CPU time is that of the controller, both agents and both switches; another host's, that of its agent and its switch.
Ports are made long before they are plugged, as for servers: the hosts' goals are for these; and plugged at once.
Wall times say something on an idle machine only; the load average is printed with them. With --ovn the same is done on
OVN, unpacked from Debian's packages (bench/ovn.py). Progress goes to stderr, the tables to stdout. Ends with 1 when a
goal isn't met.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import time
import urllib.request
from collections.abc import Awaitable, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import port as one_port
from monitor import Monitor, flow_count
from ovn import PATIENCE_S, Ovn

from suimon.dataplane import ovsdb
from suimon.lab.cloud import CONTROLLER
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig
from suimon.lab.openvswitch import OpenVSwitch
from suimon.lab.swarm_cloud import SwarmCloud
from suimon.model.view import Join

LOCAL: Final = 100
SLEEPING: Final = {
    layout: [f"sleeping{number}" for number in range(count)] for layout, count in (("a", 50), ("b", 198))
}
"""Hosts that have joined, by layout."""
ROUNDS: Final = 10
BULK: Final = 4_000
"""So many at least tell how long 5,000 take."""
GOALS: Final[dict[str, float]] = {
    "flows in, ms": 25,
    "first packet, ms": 40,
    "ACTIVE, ms": 40,
    "rule in force, ms": 20,
    "flows a rule adds": 2,
    "CPU ms/port": 10,
    "CPU ms/port, other host": 1,
    "bulk of 5,000, s": 4,
    "packet-ins in steady traffic": 0,
    "lost, agent killed": 0,
    "flows touched, agent killed": 0,
    "lost, controller away": 0,
    "waiting port ACTIVE, s": 1,
}
"""At most, whatever the size."""
SAME: Final = 0.2
"""By so much of the smallest cloud's may the time until flows are in grow in the largest."""
STEADY: Final = """
import json, socket, statistics, sys, time
def ask(s, peer):
    began = time.monotonic()
    s.sendto(b"x", (peer, 7)); s.recv(64)
    return (time.monotonic() - began) * 1000
sockets = []
for n in range(50):
    for peer in sys.argv[1:]:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); sockets.append((s, peer))
first = statistics.median([ask(*each) for each in sockets])
print("ready", flush=True)
later, end = [], time.monotonic() + 4
while time.monotonic() < end:
    later += [ask(*each) for each in sockets]
print(json.dumps([first, statistics.median(later)]))
"""
"""A hundred flows to the echoes: how long the first packet of each takes, and the later ones, while they go on."""
ASKING: Final = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((sys.argv[1], 7)); s.settimeout(1)
for _ in range(20):
    s.send(b"-1")
    try:
        s.recv(64); break
    except OSError:
        pass
s.setblocking(False)
heard, n, due = set(), 0, time.monotonic()
def hear():
    try:
        while True:
            heard.add(int(s.recv(64)))
    except BlockingIOError:
        pass
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    s.send(b"%d" % n); n += 1; hear()
    due += 0.01; time.sleep(max(0.0, due - time.monotonic()))
time.sleep(1); hear()
print(n - len(heard - {-1}))
"""
"""Asks the echo every 10 ms for so long, and tells how many weren't answered."""
KILLED_S: Final = 12.0
AWAY_S: Final = 10.0
Json = dict[str, Any]
_AGE: Final = re.compile(r"duration=([0-9.]+)s")
_COUNTED: Final = re.compile(r"(duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*,")


class Size(NamedTuple):
    """What was measured in a cloud of so many ports."""

    ports: int
    figures: dict[str, float]


class Bench:
    """A lab with a cloud of one layout, and what is measured in it."""

    def __init__(self, lab: Lab, cloud: SwarmCloud, switch: ovsdb.Connection, monitor: Monitor) -> None:
        self._lab, self._cloud, self._switch, self._monitor = lab, cloud, switch, monitor
        self._numbers = iter(range(1_000_000))
        self._echoes: list[Guest] = []

    async def prepare(self, sleeping: Sequence[str]) -> None:
        """Interfaces of 100 guests, an echo guest on each hypervisor, and hosts that sleep."""
        for number, name in enumerate(sleeping):
            token = await self._cloud.join_token(name)
            wanted = Join(token, name, f"172.30.0.{number + 1}")
            await asyncio.to_thread(_join, self._lab.layout.hosts_url, wanted)
        for host in ("hv1", "hv2"):
            port = await self._create(host)
            guest = self._lab.guests.add(f"echo-{host}", host, port["id"], port["mac_address"])
            address = port["fixed_ips"][0]["ip_address"]
            self._lab.guests.run(guest, ["ip", "address", "add", f"{address}/16", "dev", "eth0"])
            one_port._inside(self._lab, guest, one_port.ECHO)
            self._echoes.append(one_port.msgspec.structs.replace(guest, lease={"ip": address}))

    async def grow(self, host: Sequence[str], ports: int) -> tuple[float, float]:
        """So many more ports: (seconds until the last flow, milliseconds of CPU time each)."""
        before = self._cpu_s()
        began_s = time.monotonic()
        async for _ in self._cloud.fill(host, ports):
            pass
        await self.settled()
        converged_s = max(self._monitor.changed_at_s - began_s, 0.0)
        return converged_s, (self._cpu_s() - before) * 1000 / ports

    async def plug_local(self) -> None:
        """An interface for each port of hypervisor 1."""
        ports = (await self._cloud.call("GET", "/v2.0/ports?binding:host_id=hv1"))["ports"]
        args: list[str] = []
        for number, port in enumerate(each for each in ports if each["name"].startswith("port")):
            name = f"local{number}"
            args += ["--", "--may-exist", "add-port", "br-int", name, "--", "set", "interface", name, "type=internal"]
            args += [f"external_ids:iface-id={port['id']}"]
        if args:
            self._lab.switch("hv1").vsctl(*args[1:], timeout_s=60)
        await self.settled()

    async def settled(self) -> None:
        """Returns once hypervisors 1 and 2 have in force what there is."""
        async with asyncio.timeout(300):
            for host in ("hv1", "hv2"):
                while True:
                    state = (await self._cloud.call("GET", f"/operations/v1/hosts/{host}"))["host"]
                    if state["linked"] and not state["lag_revisions"]:
                        break
                    await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)

    async def measured(self) -> dict[str, float]:
        rounds = [await self._first_packet(number) for number in range(ROUNDS + 2)][2:]
        figures = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
        figures["ACTIVE, ms"] = statistics.median([await self._active() for _ in range(ROUNDS)])
        rules = [await self._rule(number) for number in range(ROUNDS)]
        figures |= {name: statistics.median(each[name] for each in rules) for name in rules[0]}
        figures |= await self._cpu(30)
        figures["flows on the host"] = float(flow_count(self._lab.switch("hv1")))
        return figures | await self._steady() | await self._interrupted()

    async def _steady(self) -> dict[str, float]:
        """A hundred flows of a guest that is ready, half of them through the tunnel, while they go on."""
        switch, (here, there) = self._lab.switch("hv1"), self._echoes
        guest, port = await self._guest("steady")
        await self._until_active(port)
        sender = await asyncio.to_thread(
            one_port._inside, self._lab, guest, STEADY, here.lease["ip"], there.lease["ip"]
        )
        before = _handed_up(switch.ofctl("dump-flows", "br-int"))
        await asyncio.sleep(2)
        megaflows = switch.appctl("dpctl/dump-flows").count("recirc_id")
        said, _ = await asyncio.to_thread(sender.communicate, timeout=30)
        handed_up = _handed_up(switch.ofctl("dump-flows", "br-int")) - before
        first_ms, later_ms = json.loads(said)
        self._lab.guests.remove("steady")
        await self._delete(port)
        return {
            "packet-ins in steady traffic": float(handed_up),
            "megaflows of 100 flows": float(megaflows),
            "first packet of a flow, ms": first_ms,
            "later packets, ms": later_ms,
        }

    async def _interrupted(self) -> dict[str, float]:
        """Hypervisor 1's agent is killed and started, then the controller is away: what a guest loses that asks one of
        hypervisor 2, how many flows aren't what they were, and when a port is ACTIVE that was plugged meanwhile.
        """
        cloud, here, switch = self._lab.cloud, self._lab.layout.host("hv1"), self._lab.switch("hv1")
        (asking, its), (waiting, late) = [await self._guest(name) for name in ("asking", "waiting")]
        await self._switch.transact([one_port._iface_id(waiting.device, "")])
        await self._until_active(its)
        await self.settled()
        # Its address was somebody else's a moment ago, whose MAC the echo may still have.
        self._lab.guests.run(self._echoes[1], ["ip", "neigh", "flush", "dev", "eth0"])
        said, before, begun = await self._ask(asking, KILLED_S), _flow_ages(switch), time.monotonic()
        await asyncio.to_thread(cloud.kill_agent, here)
        await asyncio.to_thread(cloud.start_agent, here)
        await asyncio.to_thread(cloud.await_agent, here, timeout_s=60)
        await self.settled()
        after, took_s = _flow_ages(switch), time.monotonic() - begun
        touched = len(before.keys() ^ after.keys()) + sum(age_s < took_s - 1 for age_s in after.values())
        figures = {"lost, agent killed": float(await said), "flows touched, agent killed": float(touched)}
        said = await self._ask(asking, AWAY_S + 5)
        await asyncio.to_thread(cloud.kill_controller)
        await self._switch.transact([one_port._iface_id(waiting.device, late["id"])])
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(cloud.start_controller)
        begun = time.monotonic()
        await self._until_active(late)
        figures |= {"waiting port ACTIVE, s": time.monotonic() - begun, "lost, controller away": float(await said)}
        await self.settled()
        for guest, port in ((asking, its), (waiting, late)):
            self._lab.guests.remove(guest.name)
            await self._delete(port)
        return figures

    async def _guest(self, name: str) -> tuple[Guest, Json]:
        port = await self._create("hv1")
        guest = self._lab.guests.add(name, "hv1", port["id"], port["mac_address"])
        address = port["fixed_ips"][0]["ip_address"]
        self._lab.guests.run(guest, ["ip", "address", "add", f"{address}/16", "dev", "eth0"])
        return guest, port

    async def _ask(self, guest: Guest, seconds: float) -> asyncio.Task[str]:
        """The echo of hypervisor 2, from now on; how often it didn't answer."""
        _, there = self._echoes
        sender = await asyncio.to_thread(one_port._inside, self._lab, guest, ASKING, there.lease["ip"], str(seconds))

        async def told() -> str:
            said, _ = await asyncio.to_thread(sender.communicate, timeout=60)
            return said

        return asyncio.create_task(told())

    async def _first_packet(self, number: int) -> dict[str, float]:
        """As bench/port.py does it, in a full network."""
        echo, at = self._echoes[number % 2], next(self._numbers) % 250
        mac, address = f"fa:16:3e:77:00:{at:02x}", f"10.0.250.{at + 1}"
        guest = self._lab.guests.add(f"new{at}", "hv1", f"{at:08x}-0000-4000-8000-000000000000", mac)
        await self._switch.transact([one_port._iface_id(guest.device, "")])
        self._lab.guests.run(guest, ["ip", "address", "add", f"{address}/16", "dev", "eth0"])
        neighbour = [echo.lease["ip"], "lladdr", echo.mac, "dev", "eth0"]
        self._lab.guests.run(guest, ["ip", "neigh", "add", *neighbour])
        sender = one_port._inside(self._lab, guest, one_port.FIRST, echo.lease["ip"])
        begun = time.monotonic()
        port = await self._create("hv1", mac_address=mac, fixed_ips=[{"ip_address": address}])
        answered = time.monotonic()
        await self._switch.transact([one_port._iface_id(guest.device, port["id"])])
        flows_in_ms = await self._monitor.after(answered) + (answered - begun) * 1000
        said, _ = await asyncio.to_thread(sender.communicate, timeout=30)
        self._lab.guests.remove(guest.name)
        await self._delete(port)
        return {
            "answered, ms": (answered - begun) * 1000,
            "flows in, ms": flows_in_ms,
            "first packet, ms": (float(said) - begun) * 1000,
        }

    async def _active(self) -> float:
        """A port that is made and plugged, until the API calls it ACTIVE."""
        at = next(self._numbers)
        guest = self._lab.guests.add(
            f"a{at}", "hv1", f"{at:08x}-0000-4000-9000-000000000000", f"fa:16:3e:78:00:{at:02x}"
        )
        begun = time.monotonic()
        port = await self._create("hv1", mac_address=guest.mac)
        await self._switch.transact([one_port._iface_id(guest.device, port["id"])])
        await self._until_active(port)
        took_ms = (time.monotonic() - begun) * 1000
        self._lab.guests.remove(guest.name)
        await self._delete(port)
        return took_ms

    async def _until_active(self, port: Json) -> None:
        async with asyncio.timeout(30):
            while (await self._cloud.call("GET", f"/v2.0/ports/{port['id']}"))["port"]["status"] != "ACTIVE":  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def _rule(self, number: int) -> dict[str, float]:
        group = self._echo_group()
        rule = {"security_group_id": group or await self._default_group(), "direction": "ingress", "protocol": "tcp"}
        rule |= {"port_range_min": 1000 + number, "port_range_max": 1000 + number}
        switch = self._lab.switch("hv1")
        before, begun = flow_count(switch), time.monotonic()
        made = await self._cloud.call("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
        took_ms = await self._monitor.after(begun)
        added = flow_count(switch) - before
        await self._cloud.call("DELETE", f"/v2.0/security-group-rules/{made['security_group_rule']['id']}")
        await asyncio.sleep(0.3)
        return {"rule in force, ms": took_ms, "flows a rule adds": float(added)}

    async def _cpu(self, count: int) -> dict[str, float]:
        """Of ports that are made ten a second, without what idling takes; then of such that are plugged at once.

        The median of five: once a minute each agent looks through its whole switch, which takes long where it's large.
        """
        devices = [f"cpu{number}" for number in range(count)]
        args = [f"-- --may-exist add-port br-int {name} -- set interface {name} type=internal" for name in devices]
        self._lab.switch("hv1").vsctl(*" ".join(args).split()[1:], timeout_s=60)
        figures = {}
        for how, plugged in (("", []), (", plugged", devices)):
            runs = [await self._cpu_once(count, plugged) for _ in range(5)]
            of_all, of_other, of_agent = (statistics.median(each) * 1000 / count for each in zip(*runs, strict=True))
            figures |= {f"CPU ms/port{how}": of_all, f"CPU ms/port, other host{how}": of_other}
            figures |= {f"of it its agent{how}": of_agent}
        return figures

    async def _cpu_once(self, count: int, devices: Sequence[str]) -> tuple[float, ...]:
        """Seconds, of everything, of hypervisor 2, and of its agent. Ports are plugged into devices, if there are."""
        await self.settled()
        idle_s = await self._spent(asyncio.sleep(count * 0.1))
        made: list[Json] = []

        async def make() -> None:
            for _, device in zip_longest(range(count), devices):
                made.append(await self._create("hv1"))
                if device:
                    await self._switch.transact([one_port._iface_id(device, made[-1]["id"])])
                await asyncio.sleep(0.1)

        spent_s = await self._spent(make())
        for each in devices:
            await self._switch.transact([one_port._iface_id(each, "")])
        for port in made:
            await self._delete(port)
        await self.settled()
        return tuple(spent - idle for spent, idle in zip(spent_s, idle_s, strict=True))

    async def _spent(self, work: Awaitable[None]) -> tuple[float, ...]:
        """CPU seconds of everything, of hypervisor 2, and of its agent, during some work and a second after it."""
        before = self._cpu_s(), self._host_cpu_s("hv2"), self._agent_cpu_s("hv2")
        await work
        await asyncio.sleep(1)
        after = self._cpu_s(), self._host_cpu_s("hv2"), self._agent_cpu_s("hv2")
        return tuple(now - then for now, then in zip(after, before, strict=True))

    async def _create(self, host: str, **more: Any) -> Json:
        wanted = {"network_id": self._cloud.networks[0], "binding:host_id": host, **more}
        if group := self._echo_group():
            wanted["security_groups"] = [group]
        made: Json = (await self._cloud.call("POST", "/v2.0/ports", {"port": wanted}))["port"]
        return made

    async def _delete(self, port: Json) -> None:
        await self._cloud.call("DELETE", f"/v2.0/ports/{port['id']}")

    def _echo_group(self) -> str:
        return self._cloud.groups[0] if self._cloud.groups else ""

    async def _default_group(self) -> str:
        groups = (await self._cloud.call("GET", "/v2.0/security-groups?name=default"))["security_groups"]
        ports = (await self._cloud.call("GET", f"/v2.0/ports?network_id={self._cloud.networks[0]}&limit=1"))["ports"]
        return next(str(group["id"]) for group in groups if group["id"] in ports[0]["security_groups"])

    def _agent_cpu_s(self, host: str) -> float:
        process = self._lab.cloud.process(host)
        assert process is not None
        return _spent_s(process.pid)

    def _cpu_s(self) -> float:
        controller = self._lab.cloud.process(CONTROLLER)
        assert controller is not None
        return _spent_s(controller.pid) + sum(map(self._host_cpu_s, ("hv1", "hv2")))

    def _host_cpu_s(self, host: str) -> float:
        return self._agent_cpu_s(host) + _spent_s(self._lab.switch(host).vswitchd().pid)


def _spent_s(pid: int) -> float:
    """CPU seconds of a process, by its clock (clock_getcpuclockid(3)): the ticks of /proc/PID/stat are a third of a
    millisecond for each of 30 ports.
    """
    return time.clock_gettime(~pid << 3 | 2)


def _join(url: str, wanted: Join) -> None:
    body = one_port.msgspec.json.encode(wanted)
    request = urllib.request.Request(f"{url}/hosts/v1/join", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        json.load(answer)


def _handed_up(flows: str) -> int:
    """Packets that flows gave to the agent."""
    lines = (line for line in flows.splitlines() if "CONTROLLER" in line)
    return sum(int(line.split("n_packets=")[1].split(",")[0]) for line in lines)


def _flow_ages(switch: OpenVSwitch) -> dict[str, float]:
    """Seconds, by all that a flow is but its counters."""
    ages = {}
    for line in switch.ofctl("dump-flows", "br-int").splitlines():
        if age := _AGE.search(line):
            ages[_COUNTED.sub("", line)] = float(age[1])
    return ages


async def _ours(lab: Lab, layout: str, counts: Sequence[int]) -> list[Size]:
    sizes: list[Size] = []
    database = lab.layout.host("hv1").rundir / "db.sock"
    async with SwarmCloud.at(lab.layout.api_url, lab.layout.controller_state) as cloud:
        await cloud.prepare("b" if layout == "b" else "a")
        switch = ovsdb.Connection(ovsdb.Config(), database, {"Interface": ["name"]}, lambda _updates: None)
        serving = asyncio.create_task(switch.run())
        async with Monitor().watching(lab.switch("hv1")) as monitor:
            bench, there = Bench(lab, cloud, switch, monitor), 0
            await bench.prepare(SLEEPING[layout])
            for count in counts:
                if count and not there:
                    await bench.grow(["hv1"], LOCAL)
                    await bench.plug_local()
                    there = LOCAL
                added = count - there
                bulk_s, bulk_ms = await bench.grow(SLEEPING[layout], added) if added > 0 else (0.0, 0.0)
                there = max(there, count)
                figures = await bench.measured()
                figures |= _bulk(added, bulk_s, bulk_ms)
                sizes.append(_measured("Suimon", layout, count, figures))
        serving.cancel()
    return sizes


async def _theirs(layout: str, counts: Sequence[int]) -> list[Size]:
    """Up to the size at which it has not converged after its patience."""
    sizes: list[Size] = []
    async with Ovn.at(layout) as ovn:
        for count in counts:
            try:
                figures = await _their_figures(ovn, count, sizes[-1].ports if sizes else 0)
            except TimeoutError:
                print(f"OVN, layout {layout}: {count:,} ports weren't in force after {PATIENCE_S:g} s")
                break
            sizes.append(_measured("OVN", layout, count, figures))
    return sizes


async def _their_figures(ovn: Ovn, count: int, there: int) -> dict[str, float]:
    if count and not there:
        await ovn.grow(True, LOCAL)
        there = LOCAL
    added = count - there
    bulk_s, bulk_ms = await ovn.grow(False, added) if added > 0 else (0.0, 0.0)
    return await ovn.measured(ROUNDS // 2) | _bulk(added, bulk_s, bulk_ms)


def _bulk(ports: int, took_s: float, cpu_ms: float) -> dict[str, float]:
    """Of fewer ports, what waits for company at the end would be counted several times."""
    if ports < BULK:
        return {}
    return {"bulk of 5,000, s": took_s * 5000 / ports, "bulk, CPU ms/port": cpu_ms}


def _measured(whose: str, layout: str, ports: int, figures: dict[str, float]) -> Size:
    print(f"  {whose}, layout {layout}, {ports} ports: load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return Size(ports, figures)


def _show(layout: str, ours: Sequence[Size], theirs: Sequence[Size]) -> bool:
    """A line a figure, a column a size: ours, and with OVN's beside it how many times less ours is. Whether all goals
    are met."""
    print(f"\nlayout {layout}{' (x less than OVN in this run)' if theirs else ''}")
    print(f"{'':30}{'goal':>8}" + "".join(f"{f'{size.ports:,} ports':>20}" for size in ours) + "   met")
    others, all_met = {size.ports: size.figures for size in theirs}, True
    for name in dict.fromkeys(name for size in ours for name in size.figures):
        goal = GOALS.get(name)
        cells = [_cell(figures.get(name), others.get(ports, {}).get(name)) for ports, figures in ours]
        met = goal is None or all(size.figures.get(name, 0) <= goal for size in ours)
        all_met &= met
        said = "" if goal is None else "yes" if met else "NO"
        print(f"{name:30}{'' if goal is None else f'≤ {goal:g}':>8}{''.join(cells)}   {said}", flush=True)
    grown = ours[-1].figures["flows in, ms"] / ours[0].figures["flows in, ms"]
    if len(ours) > 1:
        same = grown <= 1 + SAME
        all_met &= same
        print(f"{'flows in, largest of smallest':30}{f'≤ {1 + SAME:g}':>8}{grown:20.2f}   {'yes' if same else 'NO'}")
    return all_met


def _cell(ours: float | None, theirs: float | None) -> str:
    if ours is None:
        return f"{'-':>20}"
    ratio = f" ({theirs / ours:.1f}x)" if theirs and ours else ""
    return f"{ours:.1f}{ratio}".rjust(20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ports", type=int, action="append", help="how many there are (repeatable; 0 1000 5000 20000)")
    parser.add_argument("--layout", choices=["a", "b"], action="append", help="repeatable; both")
    parser.add_argument("--ovn", action="store_true", help="the same on OVN, whose packages are fetched with apt-get")
    parser.add_argument("--timeout-s", type=float, default=1800.0, help="for each layout (1800)")
    args = parser.parse_args()
    counts, all_met = sorted(args.ports or [0, 1_000, 5_000, 20_000]), True
    for layout in args.layout or ["a", "b"]:
        theirs = asyncio.run(asyncio.wait_for(_theirs(layout, counts), args.timeout_s)) if args.ovn else []
        config = LabConfig(name="scale", hosts=2, number=78, api_port=9778)
        lab = Lab(config, say=lambda line: print(line, file=sys.stderr))
        lab.up()
        try:
            ours = asyncio.run(asyncio.wait_for(_ours(lab, layout, counts), args.timeout_s))
        finally:
            lab.down()
        all_met &= _show(layout, ours, theirs)
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
