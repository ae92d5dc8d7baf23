"""What a question reads: what both ends lead to, in the same statements, however large the cloud and the hosts are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from suimon.distribution.involved import known
from suimon.distribution.reachability import Question, Verdict, verdict
from suimon.model import things, view
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE
from suimon.pipeline.simulate.sender import Wanted
from suimon.store.store import Store
from suimon.store.tables import IP_ALLOCATIONS
from tests.distribution.test_costs import scans
from tests.distribution.test_dispatch import make_network, on
from tests.distribution.world import make, make_host, open_store, put, traced, write


class Cloud:
    """Ports on h1 and h2 of a network with a router that h2 leads out, which also has a route to a guest."""

    def __init__(self) -> None:
        public = {"network_type": "vlan", "physnet": "physnet1", "external": True}
        (self.net, self.sub), (self.outside, self.out) = make_network(1), make_network(2, **public)
        self.group = make(things.SecurityGroup)
        rules = [("ingress", {"remote_group_id": self.group.id}), ("egress", {})]
        self.rules = [
            make(
                things.SecurityGroupRule, security_group_id=self.group.id, direction=direction, ethertype="IPv4", **more
            )
            for direction, more in rules
        ]
        self.a, self.b, self.guest = self.port("h1", 10), self.port("h2", 11), self.port("h2", 12)
        self.addresses = {"0a00010b": self.b, "0a00010c": self.guest}

    def port(self, host: str, last: int) -> things.Port:
        return on(self.sub, host, last, security_groups=(self.group.id,), status="ACTIVE")

    def router(self, number: int) -> list[Any]:
        """With its legs; the first one has the network's gateway address."""
        routes = (view.Route("10.9.0.0/16", "10.0.1.12"),)
        made = make(things.Router, gateway_network_id=self.outside.id, routes=routes)
        legs = ((self.sub, number, ROUTER_INTERFACE), (self.out, 20 + number, ROUTER_GATEWAY))
        return [made, *(on(sub, "", last, device_id=made.id, device_owner=owner) for sub, last, owner in legs)]

    async def fill(self, store: Store) -> None:
        hosts = make_host("h1", "192.0.2.1"), make_host("h2", "192.0.2.2", "physnet1")
        await put(store, *hosts, self.net, self.sub, self.outside, self.out, self.group, *self.rules)
        await put(store, self.a, self.b, self.guest, *self.router(1))
        held = [{"subnet_id": self.sub.id, "ip": ip, "port_id": port.id} for ip, port in self.addresses.items()]
        await write(store, lambda tx: tx.insert_rows(IP_ALLOCATIONS, held))

    async def grow(self, store: Store) -> None:
        """Ports of the same network and group on both hosts, and routers of another that the same host leads out."""
        await put(store, *(self.port(host, last) for host in ("h1", "h2") for last in range(30, 130)))
        net, self.sub = make_network(3)
        await put(store, net, self.sub)
        for number in range(1, 20):
            await put(store, *self.router(number))


def test_what_is_read_grows_with_neither_the_cloud_nor_the_hosts(tmp_path: Path) -> None:
    questions = ("10.0.1.11", "10.9.0.7", "203.0.113.9")

    async def asked(store: Store, cloud: Cloud) -> tuple[list[Verdict], list[str], list[int]]:
        with traced(store) as statements:
            wanted = Wanted("tcp", 80)
            told = [await store.read(lambda tx, to=to: verdict(tx, Question(cloud.a, to, wanted))) for to in questions]
            ends = [await store.read(lambda tx, to=to: known(tx, (cloud.a, cloud.b), to)) for to in questions]
        return told, list(statements), [len(each.objects) for each in ends]

    async def scenario() -> None:
        async with open_store(tmp_path) as store:
            cloud = Cloud()
            await cloud.fill(store)
            before = await asked(store, cloud)
            near, hop, outside = before[0]
            assert [event.what for event in near.there.events][-2:] == ["allowed", "delivered"], near
            assert hop.there.events[-1].what == "delivered" and hop.there.events[-1].id == cloud.guest.id, hop
            assert hop.reached is None and outside.reached is True
            assert [event.host for event in outside.there.events][-1] == "h2"
            await cloud.grow(store)
            after = await asked(store, cloud)
            assert [each.reached for each in after[0]] == [each.reached for each in before[0]]
            assert len(after[1]) == len(before[1]) and after[2] == before[2]
            reads = [each for each in after[1] if each.startswith(("SELECT", "WITH"))]
            assert not [each for each in reads if scans(next(tmp_path.glob("*.db")), each)]  # noqa: ASYNC240

    asyncio.run(scenario())
