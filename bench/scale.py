"""One more port, one more rule, 5,000 ports, in clouds of different sizes: `make bench-port`, after bench/port.py.

Brings up a lab with two hypervisors for each layout and fills it: hypervisor 1 has 100 guests' interfaces, the other
ports are bound to 50 hosts that have joined and don't run. Layout a is OVN's bench (50 networks, each with a router and
a security group; ten of them are on a host, with ten ports each), layout b one network and one group for all.
CPU time is that of the controller, both agents and both switches. Wall times say something on an idle machine only.
OVN's figures are recorded ones (23.03, layout a, on two cores of the same kind).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import port as one_port

from suimon.dataplane import ovsdb
from suimon.lab.cloud import CONTROLLER
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig
from suimon.lab.processes import environment
from suimon.lab.swarm import use
from suimon.lab.swarm_cloud import SwarmCloud
from suimon.model.view import Join

LOCAL: Final = 100
SLEEPING: Final = [f"sleeping{number}" for number in range(50)]
ROUNDS: Final = 10
OVN: Final[dict[str, dict[int, float]]] = {
    "flows in, ms": {0: 28, 1_000: 73, 5_000: 474, 10_000: 949},
    "ACTIVE, ms": {0: 41, 1_000: 156, 5_000: 1_298, 10_000: 2_769},
    "rule in force, ms": {1_000: 75, 5_000: 523, 10_000: 1_593},
    "CPU ms/port": {0: 31, 1_000: 249, 5_000: 2_084, 10_000: 5_518},
    "flows on the host": {1_000: 8_651, 5_000: 13_451, 10_000: 19_451},
}
Json = dict[str, Any]


class Size(NamedTuple):
    """What was measured in a cloud of so many ports."""

    ports: int
    figures: dict[str, float]


class Monitor:
    """When br-int of a hypervisor last changed, as the switch itself tells (ovs-ofctl(8), monitor)."""

    def __init__(self) -> None:
        self.changed_at_s = 0.0
        self._news = asyncio.Event()

    @asynccontextmanager
    async def watching(self, lab: Lab, host: str) -> AsyncIterator[Monitor]:
        target = f"unix:{lab.layout.host(host).rundir}/br-int.mgmt"
        command = ["ovs-ofctl", "-O", "OpenFlow15", "monitor", target, "watch:!initial"]
        # It wants a directory for a control socket of its own.
        env = environment(lab.layout.directory) | {"OVS_RUNDIR": str(lab.layout.host(host).rundir)}
        child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=env)
        reading = asyncio.create_task(self._read(child))
        try:
            yield self
        finally:
            reading.cancel()
            if child.returncode is None:
                child.terminate()
            await child.wait()

    async def after(self, began_s: float) -> float:
        """Milliseconds from `began_s` to the first change after it."""
        async with asyncio.timeout(30):
            while self.changed_at_s < began_s:
                self._news.clear()
                await self._news.wait()
        return (self.changed_at_s - began_s) * 1000

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stderr is not None
        while await child.stderr.read(1 << 16):
            self.changed_at_s = time.monotonic()
            self._news.set()


class Bench:
    """A lab with a cloud of one layout, and what is measured in it."""

    def __init__(self, lab: Lab, cloud: SwarmCloud, switch: ovsdb.Connection, monitor: Monitor) -> None:
        self._lab, self._cloud, self._switch, self._monitor = lab, cloud, switch, monitor
        self._numbers = iter(range(1_000_000))
        self._echoes: list[Guest] = []

    async def prepare(self) -> None:
        """Interfaces of 100 guests, an echo guest on each hypervisor, and hosts that sleep."""
        for number, name in enumerate(SLEEPING):
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

    async def grow(self, host: Sequence[str], ports: int) -> float:
        """So many more ports; milliseconds of CPU time each. Returns when they are in force."""
        before = self._cpu_s()
        began_s = time.monotonic()
        async for _ in self._cloud.fill(host, ports):
            pass
        await self.settled()
        converged_s = max(self._monitor.changed_at_s - began_s, 0.0)
        print(f"  {ports} ports in force after {converged_s:.1f} s", file=sys.stderr)
        return (self._cpu_s() - before) * 1000 / ports

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

    async def measured(self, ports: int) -> Size:
        rounds = [await self._first_packet(number) for number in range(ROUNDS + 2)][2:]
        figures = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
        figures["ACTIVE, ms"] = statistics.median([await self._active() for _ in range(ROUNDS)])
        figures["rule in force, ms"] = statistics.median([await self._rule(number) for number in range(ROUNDS)])
        figures |= await self._cpu(30)
        flows = self._lab.switch("hv1").ofctl("dump-aggregate", "br-int")
        figures["flows on the host"] = float(flows.split("flow_count=")[1].split()[0])
        figures["megaflows"] = float(self._lab.switch("hv1").appctl("dpctl/dump-flows").count("\n"))
        return Size(ports, figures)

    async def _first_packet(self, number: int) -> dict[str, float]:
        """As bench/port.py does it, in a full network."""
        echo, at = self._echoes[number % 2], next(self._numbers) % 250
        mac, address = f"fa:16:3e:77:00:{at:02x}", f"10.0.250.{at + 1}"
        guest = self._lab.guests.add(f"new{at}", "hv1", f"00000000-0000-4000-8000-{at:012d}", mac)
        await self._switch.transact([one_port._iface_id(guest, "")])
        self._lab.guests.run(guest, ["ip", "address", "add", f"{address}/16", "dev", "eth0"])
        neighbour = [echo.lease["ip"], "lladdr", echo.mac, "dev", "eth0"]
        self._lab.guests.run(guest, ["ip", "neigh", "add", *neighbour])
        sender = one_port._inside(self._lab, guest, one_port.FIRST, echo.lease["ip"])
        begun = time.monotonic()
        port = await self._create("hv1", mac_address=mac, fixed_ips=[{"ip_address": address}])
        answered = time.monotonic()
        await self._switch.transact([one_port._iface_id(guest, port["id"])])
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
        guest = self._lab.guests.add(f"a{at}", "hv1", f"00000000-0000-4000-9000-{at:012d}", f"fa:16:3e:78:00:{at:02x}")
        begun = time.monotonic()
        port = await self._create("hv1", mac_address=guest.mac)
        await self._switch.transact([one_port._iface_id(guest, port["id"])])
        async with asyncio.timeout(30):
            while (await self._cloud.call("GET", f"/v2.0/ports/{port['id']}"))["port"]["status"] != "ACTIVE":  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        took_ms = (time.monotonic() - begun) * 1000
        self._lab.guests.remove(guest.name)
        await self._delete(port)
        return took_ms

    async def _rule(self, number: int) -> float:
        group = self._echo_group()
        rule = {"security_group_id": group or await self._default_group(), "direction": "ingress", "protocol": "tcp"}
        rule |= {"port_range_min": 1000 + number, "port_range_max": 1000 + number}
        begun = time.monotonic()
        made = await self._cloud.call("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
        took_ms = await self._monitor.after(begun)
        await self._cloud.call("DELETE", f"/v2.0/security-group-rules/{made['security_group_rule']['id']}")
        await asyncio.sleep(0.3)
        return took_ms

    async def _cpu(self, count: int) -> dict[str, float]:
        """Of ports that are made one by one, not too fast to be told one by one; without what idling takes."""
        await self.settled()
        idle_s, idle_other_s = await self._spent(asyncio.sleep(count * 0.1))
        made: list[Json] = []

        async def make() -> None:
            for _ in range(count):
                made.append(await self._create("hv1"))
                await asyncio.sleep(0.1)

        spent_s, other_s = await self._spent(make())
        spent, other = max(0.0, spent_s - idle_s), max(0.0, other_s - idle_other_s)
        for each in made:
            await self._delete(each)
        await self.settled()
        return {"CPU ms/port": spent * 1000 / count, "CPU ms/port, other host": other * 1000 / count}

    async def _spent(self, work: Awaitable[None]) -> tuple[float, float]:
        """CPU seconds of everything, and of the agent of hypervisor 2, during some work and a second after it."""
        before, other = self._cpu_s(), self._agent_cpu_s("hv2")
        await work
        await asyncio.sleep(1)
        return self._cpu_s() - before, self._agent_cpu_s("hv2") - other

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
        return use(process.pid).cpu_s

    def _cpu_s(self) -> float:
        controller = self._lab.cloud.process(CONTROLLER)
        assert controller is not None
        switches = [self._lab.switch(host).vswitchd().pid for host in ("hv1", "hv2")]
        agents = sum(self._agent_cpu_s(host) for host in ("hv1", "hv2"))
        return agents + sum(use(pid).cpu_s for pid in (controller.pid, *switches))


def _join(url: str, wanted: Join) -> None:
    body = one_port.msgspec.json.encode(wanted)
    request = urllib.request.Request(f"{url}/hosts/v1/join", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        json.load(answer)


async def _measure(lab: Lab, layout: str, counts: Sequence[int]) -> list[Size]:
    sizes: list[Size] = []
    database = lab.layout.host("hv1").rundir / "db.sock"
    async with SwarmCloud.at(lab.layout.api_url, lab.layout.controller_state) as cloud:
        await cloud.prepare("b" if layout == "b" else "a")
        switch = ovsdb.Connection(ovsdb.Config(), database, {"Interface": ["name"]}, lambda _updates: None)
        serving = asyncio.create_task(switch.run())
        async with Monitor().watching(lab, "hv1") as monitor:
            bench, there = Bench(lab, cloud, switch, monitor), 0
            await bench.prepare()
            for count in sorted(counts):
                if count and not there:
                    await bench.grow(["hv1"], LOCAL)
                    await bench.plug_local()
                    there = LOCAL
                bulk = await bench.grow(SLEEPING, count - there) if count > there else 0.0
                there = max(there, count)
                size = await bench.measured(count)
                size.figures["bulk, CPU ms/port"] = bulk
                sizes.append(size)
        serving.cancel()
    return sizes


def _show(layout: str, sizes: Sequence[Size]) -> None:
    """A line a figure, a column a size, and how many times less than OVN that is, where OVN was measured."""
    print(f"\nlayout {layout}\n{'':26}" + "".join(f"{size.ports:>11} ports" for size in sizes))
    for name in sizes[0].figures:
        cells = []
        for ports, figures in sizes:
            theirs = OVN.get(name, {}).get(ports) if layout == "a" else None
            ratio = f" ({theirs / figures[name]:.0f}x)" if theirs and figures[name] else ""
            cells.append(f"{figures[name]:.1f}{ratio}".rjust(17))
        print(f"{name:26}{''.join(cells)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ports", type=int, action="append", help="how many there are (repeatable; 0 1000 5000 20000)")
    parser.add_argument("--layout", choices=["a", "b"], action="append", help="repeatable; both")
    args = parser.parse_args()
    for layout in args.layout or ["a", "b"]:
        config = LabConfig(name="scale", hosts=2, number=78, api_port=9778)
        lab = Lab(config, say=lambda line: print(line, file=sys.stderr))
        lab.up()
        try:
            _show(layout, asyncio.run(_measure(lab, layout, args.ports or [0, 1_000, 5_000, 20_000])))
        finally:
            lab.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
