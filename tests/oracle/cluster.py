"""Several hosts that follow a real store by real distribution, each with what the real pipeline compiles of its view on
a simulated switch; tunnels and provider networks lead from one to another.

Acts are those of the API, without HTTP. `resources` is what GET says afterwards: all that the oracle is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import msgspec

from suimon.distribution.dispatch import Dispatcher
from suimon.model import view
from suimon.model.settings import Settings
from suimon.model.things import Restriction
from suimon.pipeline.fields import NET, NEXTHOP, NEXTHOP6, registers
from suimon.pipeline.gateway import addresses
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.services import SERVICES_OFPORT
from suimon.pipeline.simulate import Packet, later_fragment
from suimon.pipeline.world import World as Facts
from tests.databases import empty_database
from tests.distribution.world import FRAME, PATIENT, Follower, make_host, settle
from tests.oracle.frame import Arrival, Frame
from tests.oracle.guard import asks_for_lease
from tests.oracle.intent import Resources
from tests.oracle.wire import frame_of, packet_of
from tests.pipeline.cloud import Cloud, Host, Station
from tests.pipeline.underlay import Hypervisor, Journey, Underlay
from tests.resources.below import Below
from tests.resources.world import ADMIN, Body, World

HOSTS: Final = ("h1", "h2", "h3")
PHYSNET: Final = "physnet1"
SETTINGS: Final = Settings(vlans={PHYSNET: ((10, 99),)}, quotas=dict.fromkeys(("network", "subnet", "port"), -1))
_LISTED: Final = (
    *("networks", "subnets", "ports", "routers", "floatingips", "trunks", "ndp_proxies"),
    *("security-groups", "security-group-rules", "address-groups"),
)
_TUNNELS: Final = {"vxlan": 100, "gre": 102, "geneve": 103}
_PATCH: Final = 101


class Followed(Cloud):
    """The cloud as its hosts were told of it: `objects` are all that any of them holds."""

    def __init__(self) -> None:
        super().__init__()
        self.followers = {name: Follower(name) for name in HOSTS}
        for number, name in enumerate(HOSTS, 1):
            self.hosts[name] = Host(name, f"172.16.0.{number}", dict(_TUNNELS), {PHYSNET: _PATCH})

    def told(self, host: str) -> dict[view.Key, view.Object]:
        return self.followers[host].objects

    def merge(self) -> None:
        self.objects = {key: thing for each in self.followers.values() for key, thing in each.objects.items()}
        for port in sorted(self.all(view.Port), key=lambda port: port.id):
            if port.parent is None and port.id not in self.ofports:
                self.ofports[port.id] = 1 + len(self.ofports)


@contextmanager
def opened(seed: int) -> Iterator[Cluster]:
    """A cluster whose ids and MAC addresses follow from the seed, so that what failed fails again."""
    random = Random(seed)
    with empty_database():
        pass  # The first one of a process is made with ids, too, and those are none of the cluster's.
    with (
        patch("suimon.resources.ids.uuid.uuid4", lambda: UUID(int=random.getrandbits(128), version=4)),
        patch("suimon.resources.ids.secrets.token_bytes", random.randbytes),
    ):
        cluster = Cluster()
        try:
            yield cluster
        finally:
            cluster.close()


class Cluster:
    """`api` does what clients do; `follow` brings the hosts up to date with it; `send` carries a frame."""

    def __init__(self) -> None:
        self.api = World(SETTINGS)
        self.machines: list[Body] = []
        self.cloud = Followed()
        self._dispatcher = Dispatcher(PATIENT, self.api.store)
        for name, host in self.cloud.hosts.items():
            row = make_host(name, host.vtep, *host.physnets)
            self.api.write(lambda tx, row=row: tx.insert(row))
        self._running = self.api.loop.create_task(self._dispatcher.run())
        self.underlay = Underlay(self.cloud)
        for follower in self.cloud.followers.values():
            self._do(follower.connect(self._dispatcher))
        self.follow()

    def close(self) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            self.api.loop.run_until_complete(self._running)
        self.api.close()

    def follow(self) -> None:
        """Deltas come, are compiled and installed; connections of ports that went are forgotten."""
        self._do(settle(self.api.store, self._dispatcher))
        for follower in self.cloud.followers.values():
            self._do(follower.drain())
        self.cloud.merge()
        for hypervisor in self.underlay.hypervisors.values():
            for hop in list(hypervisor.world.neighbours):
                hypervisor.world.learn(*hop, None)
        self.underlay.follow()
        for hypervisor in self.underlay.hypervisors.values():
            for zone in sorted(hypervisor.world.numbers.unflushed):
                hypervisor.conntrack.flush(zone)
                hypervisor.world.numbers.flushed(zone)

    def add_machine(self, network: Body, mac: str, ips: list[str]) -> None:
        """On an external network, outside of the cloud."""
        name = f"machine-{len(self.machines)}"
        self.machines.append({"id": name, "network_id": network["id"], "mac": mac, "ips": ips})
        self.cloud.stations[name] = Station(name, PHYSNET, network["provider:segmentation_id"], mac, ips[0])

    def resources(self) -> Resources:
        """Everything there is, as a client reads it."""
        found = {path: sorted(self.api.list(path, by=ADMIN), key=lambda one: str(one["id"])) for path in _LISTED}
        found["machines"] = self.machines
        found["port_forwardings"] = [
            {**one, "fip": floating["id"]}
            for floating in found["floatingips"]
            for one in Below(self.api, "floatingips", "port_forwardings", floating["id"]).list(ADMIN)
        ]
        found["local_ips"] = [
            {**one, "associations": Below(self.api, "local_ips", "port_associations", one["id"]).list(ADMIN)}
            for one in sorted(self.api.list("local_ips", by=ADMIN), key=lambda one: str(one["id"]))
        ]
        policies = self.api.list("qos/policies", by=ADMIN)
        found["blocks"] = [
            {**rule, "policy_id": policy["id"]}
            for policy in policies
            for rule in Below(self.api, "qos/policies", "port_block_rules", policy["id"]).list(ADMIN)
        ]
        found["restrictions"] = self.restrictions()
        return found

    def restrictions(self) -> list[Body]:
        """Those in force."""
        active = self.api.read(lambda tx: tx.select(Restriction, {"state": "active"}))
        return sorted(map(msgspec.to_builtins, active), key=lambda one: str(one["id"]))

    def send(self, sender: str, frame: Frame) -> tuple[list[Arrival], Journey]:
        """By a port or a machine. Who got it (twice, if twice) and the way there.

        An agent asks for a next hop outside that it doesn't know; here it is told, and the frame sent again.
        """
        while True:
            journey = self.underlay.send(self.cloud.stations.get(sender) or self.cloud.port(sender), packet_of(frame))
            if not any(self._learnt(leg.host, packet) for leg in journey.legs for packet in leg.result.to_controller):
                return self._arrivals(sender, frame, journey), journey

    def send_fragment(self, sender: str, frame: Frame, *, later: bool) -> tuple[list[tuple[str, str, str]], Journey]:
        """A datagram's first fragment, or a later one of it: who gets it, from and at which addresses, and the way."""
        first = packet_of(frame).with_fields({"ip_frag": 1})
        from_ = self.cloud.stations.get(sender) or self.cloud.port(sender)
        journey = self.underlay.send(from_, later_fragment(first) if later else first)
        heard = [(place, frame_of(packet)) for place, packet in journey.arrivals]
        return sorted((place, each.src, each.dst) for place, each in heard), journey

    def whole(self, host: str) -> tuple[dict[view.Key, view.Object], Hypervisor]:
        """What a snapshot tells the host, and what an agent with the same numbers makes of it from nothing."""
        fresh, kept = Follower(host), self.underlay.hypervisors[host]
        told = self.api.read(lambda tx: self._dispatcher._wholes(tx, frozenset({host}))[host])
        fresh.take(FRAME.decode(told.frame))
        started = Hypervisor(host)
        started.world = Facts(host, Numbers(kept.world.numbers.dump()))
        started.world.wire(kept.world.tunnels, kept.world.physnets)
        for (network_id, ip), mac in kept.world.neighbours.items():
            started.world.learn(network_id, ip, mac)
        mine = {port.id for port in self.cloud.all(view.Port) if port.host == host}
        started.follow(fresh.objects, {port_id: n for port_id, n in self.cloud.ofports.items() if port_id in mine})
        return fresh.objects, started

    def _arrivals(self, sender: str, frame: Frame, journey: Journey) -> list[Arrival]:
        outputs = [ofport for leg in journey.legs for ofport, _ in leg.result.outputs]
        if SERVICES_OFPORT in outputs:
            return [Arrival("services", frame)]
        told = [frame_of(packet) for leg in journey.legs for packet in leg.result.to_controller]
        # What an agent hears of next hops, and what it answers with an error, gets nowhere by that.
        heard = [Arrival("agent", each) for each in told if asks_for_lease(each)]
        return [*heard, *(Arrival(place, frame_of(packet)) for place, packet in journey.arrivals)]

    def _learnt(self, host: str, packet: Packet) -> bool:
        """Whether the packet waited for a next hop that somebody outside of the host has; now the host knows."""
        hypervisor = self.underlay.hypervisors[host]
        network_id = hypervisor.world.numbers.name("network", packet.fields.get(NET, 0)) or ""
        ip = _nexthop(packet)
        mac = self._outside(network_id).get(ip)
        if mac is None or hypervisor.world.neighbours.get((network_id, ip)) == mac:
            return False
        hypervisor.world.learn(network_id, ip, mac)
        self.underlay.follow()
        return True

    def _outside(self, network_id: str) -> dict[str, str]:
        """Who answers for what on an external network."""
        found = {ip: each["mac"] for each in self.machines if each["network_id"] == network_id for ip in each["ips"]}
        for port in self.cloud.all(view.Port):
            if port.network_id == network_id:
                found |= {fixed.ip: port.mac for fixed in port.fixed_ips}
        for router in self.cloud.all(view.Router):
            if router.gateway and router.gateway.network_id == network_id and router.up:
                found |= dict.fromkeys([*addresses(router), router.gateway.ip6 or ""], router.gateway.mac)
        for floating in self.cloud.all(view.FloatingIp):
            if floating.network_id == network_id:
                found[floating.address] = floating.mac
        return found

    def _do(self, work: Coroutine[Any, Any, object]) -> None:
        self.api.loop.run_until_complete(work)


def _nexthop(packet: Packet) -> str:
    if packet.fields.get(NEXTHOP):
        return str(IPv4Address(packet.fields[NEXTHOP]))
    parts = [packet.fields.get(part, 0).to_bytes(4, "big") for part in registers(NEXTHOP6)]
    return str(IPv6Address(b"".join(parts)))
