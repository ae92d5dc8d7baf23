"""Who is told what and when: scopes, snapshots and deltas, races while linking, slow readers, what a change costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from suimon.distribution import dispatch
from suimon.distribution.config import DistributionConfig
from suimon.distribution.dispatch import Dispatcher
from suimon.distribution.links import Link
from suimon.model import things, view
from suimon.model.actor import SYSTEM, Actor
from suimon.model.errors import Unavailable
from suimon.model.touches import FLOATING_IP, ROUTER_GATEWAY, ROUTER_INTERFACE
from suimon.resources import hosts as host_acts
from suimon.store.store import Store
from tests.distribution.world import (
    PATIENT,
    Follower,
    make,
    make_host,
    make_port,
    open_store,
    put,
    put_port,
    running,
    settle,
    write,
)

replace = msgspec.structs.replace
Body = Callable[[Store, Dispatcher], Awaitable[None]]


def with_dispatcher(folder: Path, body: Body, config: DistributionConfig = PATIENT) -> None:
    """Run `body` with a store that two hosts have joined, and a dispatcher at work."""

    async def run() -> None:
        async with open_store(folder) as store, running(store, config) as dispatcher:
            await put(store, make_host("h1", "192.0.2.1"), make_host("h2", "192.0.2.2"))
            await settle(store, dispatcher)
            await body(store, dispatcher)

    asyncio.run(run())


def make_network(number: int, **fields: Any) -> tuple[things.Network, things.Subnet]:
    network = make(things.Network, segment=number, **fields)
    return network, make(
        things.Subnet, network_id=network.id, cidr=f"10.0.{number}.0/24", gateway_ip=f"10.0.{number}.1"
    )


def on(subnet: things.Subnet, host: str = "", last: int = 5, **fields: Any) -> things.Port:
    fixed_ips = (view.FixedIp(subnet.id, subnet.cidr.replace("0/24", str(last))),)
    return make_port(subnet.network_id, host, fixed_ips=fixed_ips, **fields)


async def connected(dispatcher: Dispatcher, host: str) -> Follower:
    follower = Follower(host)
    await follower.connect(dispatcher)
    await follower.drain()
    return follower


def test_while_the_database_is_away_it_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_RETRY_S", 0.01)

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        follower, (network, subnet) = await connected(dispatcher, "h1"), make_network(1)
        port, read, failing = on(subnet, "h1"), store.read, [Unavailable("It went away."), Unavailable("It is away.")]

        async def away(*args: Any, **options: Any) -> Any:
            if failing:
                raise failing.pop()
            return await read(*args, **options)

        monkeypatch.setattr(store, "read", away)
        await put(store, network, subnet)
        await put(store, port)
        await settle(store, dispatcher)
        await follower.drain()
        assert not failing and ("port", port.id) in follower.objects

    with_dispatcher(tmp_path, body)


class Neighbourhood:
    """Port `mine` on h1 with all that goes with it, a port without security there, and what is none of h1's business.

    `mine` has its network's QoS policy, a group whose rule names that of `far`, a router to the network of `far` and to
    the outside, and a floating IP.
    """

    def __init__(self) -> None:
        self.policy, self.group, self.remote = make(things.QosPolicy), *(make(things.SecurityGroup) for _ in range(2))
        self.limit = make(things.BandwidthLimitRule, policy_id=self.policy.id, max_kbps=1000, max_burst_kbps=800)
        ports = {"port_range_min": 25, "port_range_max": 25}
        self.block = make(things.PortBlockRule, policy_id=self.policy.id, protocol="tcp", **ports)
        named = {"security_group_id": self.group.id, "remote_group_id": self.remote.id}
        self.rule = make(things.SecurityGroupRule, direction="ingress", protocol="icmp", **named)
        self.networks, self.router = self._networks(), make(things.Router)
        net, routed, outside, vlan, foreign = (subnet for _, subnet in self.networks)
        self.legs = [
            on(subnet, last=9, device_owner=owner, device_id=self.router.id)
            for subnet, owner in ((net, ROUTER_INTERFACE), (routed, ROUTER_INTERFACE), (outside, ROUTER_GATEWAY))
        ]
        self.mine = on(net, "h1", security_groups=(self.group.id,))
        self.pair = view.AddressPair("fa:16:3e:ff:ff:ff", "10.0.2.77/32")
        self.far = on(routed, "h2", security_groups=(self.remote.id,), allowed_address_pairs=(self.pair,))
        self.behind = on(outside, last=20, device_owner=FLOATING_IP)
        self.floating_ip = make(
            things.FloatingIp,
            floating_network_id=outside.network_id,
            floating_ip_address="10.0.3.20",
            floating_port_id=self.behind.id,
            port_id=self.mine.id,
            fixed_ip_address="10.0.1.5",
            router_id=self.router.id,
        )
        self.others = [on(vlan, "h1", port_security=False), on(foreign, "h2"), on(vlan, "h2", 6), on(outside, "h2", 7)]
        self.others.append(on(routed, "", 8))

    def _networks(self) -> list[tuple[things.Network, things.Subnet]]:
        vlan = {"network_type": "vlan", "physnet": "public"}
        return [
            make_network(1, qos_policy_id=self.policy.id),
            make_network(2),
            make_network(3, external=True, **vlan),
            make_network(4, **vlan),
            make_network(5),
        ]

    async def put(self, store: Store) -> None:
        await put(store, self.policy, self.limit, self.block, self.group, self.remote, self.rule, self.router)
        await put(store, *(thing for pair in self.networks for thing in pair))
        await put(store, *self.legs, self.mine, self.far, self.behind, *self.others, self.floating_ip)


def test_a_host_is_told_what_its_ports_need_and_nothing_else(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        n = Neighbourhood()
        await n.put(store)
        await settle(store, dispatcher)
        told = (await connected(dispatcher, "h1")).objects

        assert {kind: sum(1 for each, _ in told if each == kind) for kind, _ in told} == {
            "network": 4, "subnet": 4, "port": 2, "peer": 2, "member": 1, "group": 1, "router": 1, "qos": 1,
            "floating_ip": 1,
        }  # fmt: skip
        mine, router, outside = told["port", n.mine.id], told["router", n.router.id], n.networks[2][0].id
        assert isinstance(mine, view.Port) and isinstance(router, view.Router)
        assert (mine.qos_id, mine.groups, mine.host) == (n.policy.id, (n.group.id,), "h1")
        assert told["peer", n.far.id] == view.Peer(
            n.far.id, n.far.network_id, n.far.mac_address, ("10.0.2.5",), "h2", "192.0.2.2", (n.pair.mac,)
        )
        member = view.Member(n.remote.id, n.far.id, ("10.0.2.5", "10.0.2.77"))
        assert told["member", member.id] == member
        assert told["group", n.group.id] == view.SecurityGroup(
            n.group.id, (view.SecurityGroupRule(n.rule.id, "ingress", "IPv4", 1, remote_group=n.remote.id),)
        )
        assert told["qos", n.policy.id] == view.QosPolicy(
            n.policy.id, (view.BandwidthLimit("egress", 1000, 800),), (view.PortBlock(n.block.id, "egress", 6, 25, 25),)
        )
        assert sorted(leg.cidr for leg in router.interfaces) == ["10.0.1.0/24", "10.0.2.0/24"]
        assert router.gateway == view.Gateway(outside, "10.0.3.9", n.legs[2].mac_address, "10.0.3.1")
        assert told["floating_ip", n.floating_ip.id] == view.FloatingIp(
            n.floating_ip.id, "h1", outside, "10.0.3.20", n.behind.mac_address, n.mine.id, "10.0.1.5", n.router.id
        )

    with_dispatcher(tmp_path, body)


def test_a_port_that_moves_is_deleted_here_and_told_there(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        port, witness = on(sub, "h1"), on(sub, "h2", 6)
        await put(store, net, sub, port, witness)
        await settle(store, dispatcher)
        here, there = await connected(dispatcher, "h1"), await connected(dispatcher, "h2")
        await write(store, lambda tx: put_port(tx, port, replace(port, binding_host="h2")))
        await settle(store, dispatcher)
        await here.drain()
        await there.drain()
        assert here.objects == {}
        last = there.frames[-1]
        assert isinstance(last, view.Delta)
        assert (last.deleted, last.dropped) == ((), ())
        assert {view.key(thing) for thing in last.objects} == {("port", port.id), ("peer", port.id)}

    with_dispatcher(tmp_path, body)


def test_a_delta_names_the_requests_that_it_follows_from(tmp_path: Path) -> None:
    def asked(number: int) -> Actor:
        return Actor("ann", "red", frozenset({"member"}), f"req-{number}")

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        port, other = on(sub, "h1"), on(sub, "h2", 6)
        await put(store, net, sub, port, other)
        await settle(store, dispatcher)
        here = await connected(dispatcher, "h1")
        await here.drain()
        late = here.copy()
        await store.write(lambda tx: put_port(tx, port, replace(port, name="new")), asked(1))
        await settle(store, dispatcher)
        await here.drain()
        assert isinstance(here.frames[-1], view.Delta) and here.frames[-1].requests == ("req-1",)
        for number in range(2, 2 * view.MOST_REQUESTS):
            port = replace(port, name=f"n{number}")
            await store.write(lambda tx: put_port(tx, replace(port, name="x"), port), asked(number))  # noqa: B023
        await settle(store, dispatcher)
        await late.connect(dispatcher)
        await late.drain()
        told = late.frames[-1]
        assert isinstance(told, view.Delta)
        assert told.requests == tuple(f"req-{number}" for number in range(1, view.MOST_REQUESTS + 1))

    with_dispatcher(tmp_path, body)


def test_a_router_brings_the_peers_of_a_vlan_network_and_takes_them_away(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        (vlan, vlan_sub), (far, far_sub) = make_network(1, network_type="vlan", physnet="public"), make_network(2)
        router, neighbour, distant = make(things.Router), on(vlan_sub, "h2"), on(far_sub, "h2")
        legs = [on(sub, last=1, device_owner=ROUTER_INTERFACE, device_id=router.id) for sub in (vlan_sub, far_sub)]
        await put(store, vlan, vlan_sub, far, far_sub, router, neighbour, distant, on(vlan_sub, "h1", 6))
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "h1")
        before = dict(follower.objects)
        assert {kind for kind, _ in before} == {"network", "subnet", "port"}
        await put(store, *legs)
        await settle(store, dispatcher)
        await follower.drain()
        gained = follower.objects.keys() - before.keys()
        assert {("router", router.id), ("network", far.id), ("peer", neighbour.id), ("peer", distant.id)} <= gained
        await write(store, lambda tx: put_port(tx, legs[0], None))
        await settle(store, dispatcher)
        await follower.drain()
        assert follower.objects == before

    with_dispatcher(tmp_path, body)


def test_what_hosts_are_not_told_of_sends_nothing(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        (net, sub), (foreign, foreign_sub) = make_network(1), make_network(2)
        port = on(sub, "h1")
        await put(store, net, sub, foreign, foreign_sub, port)
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "h1")
        await write(store, lambda tx: tx.change(port, status="ACTIVE", description="x"))
        await put(store, on(foreign_sub, "h2"))
        await settle(store, dispatcher)
        await follower.drain()
        assert len(follower.frames) == 1

    with_dispatcher(tmp_path, body)


def test_a_host_that_claims_scopes_is_told_to_drop_them(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        await put(store, net, sub, on(sub, "h2"))
        await settle(store, dispatcher)
        liar = Follower("h1")
        liar.position = view.Position(*store.position(), scopes=("host:h2", f"peers:{net.id}"))
        await liar.connect(dispatcher)
        await put(store, on(sub, "h2", 6))
        await settle(store, dispatcher)
        await liar.drain()
        assert liar.objects == {}
        assert liar.position.scopes == ("host:h1",)

    with_dispatcher(tmp_path, body)


def test_snapshots_are_admitted_at_a_rate_and_deltas_always(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        host, *others = (make_host(name, None) for name in ("h1", "h2", "h3"))
        assert isinstance(await dispatcher.link(host, None), Link)
        first, second = [await dispatcher.link(other, None) for other in others]
        assert isinstance(first, float) and isinstance(second, float)
        assert 90 < first < 125 and 190 < second < 245
        assert isinstance(await dispatcher.link(host, view.Position(*store.position(), schema=view.SCHEMA)), Link)

    with_dispatcher(tmp_path, body, DistributionConfig(snapshots_per_s=0.01, snapshot_burst=1))


def test_a_reader_that_is_too_slow_loses_its_line_and_nothing_else(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        await put(store, net, sub, on(sub, "h1"))
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "h1")
        assert follower.link is not None
        for last in range(10, 20):
            await put(store, on(sub, "h2", last))
            await settle(store, dispatcher)
        assert follower.link.closed
        assert await follower.link.receive(1) is None
        await follower.connect(dispatcher)
        await follower.drain()
        assert sum(kind == "peer" for kind, _ in follower.objects) == 11

    with_dispatcher(tmp_path, body, replace(PATIENT, backlog_bytes=1000))


def test_a_second_line_of_a_host_closes_the_first(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        first, second = await connected(dispatcher, "h1"), await connected(dispatcher, "h1")
        assert first.link is not None and second.link is not None
        assert (first.link.closed, second.link.closed) == (True, False)
        assert dispatcher.get("h1") is second.link

    with_dispatcher(tmp_path, body)


def test_a_host_that_was_removed_or_got_another_credential_loses_its_line(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        first, second = await connected(dispatcher, "h1"), await connected(dispatcher, "h2")
        await write(store, lambda tx: tx.delete(make_host("h1", "192.0.2.1")))
        before = make_host("h2", "192.0.2.2")
        await write(store, lambda tx: tx.update(before, replace(before, physnets=("public",))))
        await settle(store, dispatcher)
        assert first.link is not None and first.link.closed
        assert second.link is not None and not second.link.closed
        await write(store, lambda tx: tx.update(before, replace(before, credential_hash="other")))
        await settle(store, dispatcher)
        assert second.link.closed

    with_dispatcher(tmp_path, body)


def test_an_accepted_host_gets_its_snapshot_again(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        await put(store, net, sub, on(sub, "h1"))
        await settle(store, dispatcher)
        follower, other = await connected(dispatcher, "h1"), await connected(dispatcher, "h2")
        await write(store, lambda tx: host_acts.accept_host(tx, SYSTEM, "h1"))
        await settle(store, dispatcher)
        held = dict(follower.objects)
        await follower.drain()
        await other.drain()
        assert [getattr(frame, "accepted", None) for frame in follower.frames] == [False, True]
        assert follower.objects == held
        assert len(other.frames) == 1
        again = await connected(dispatcher, "h1")
        assert isinstance(again.frames[0], view.Snapshot) and again.frames[0].accepted
        await write(store, lambda tx: host_acts.end_acceptance(tx, "h1"))
        later = await connected(dispatcher, "h1")
        assert isinstance(later.frames[0], view.Snapshot) and not later.frames[0].accepted

    with_dispatcher(tmp_path, body)


def test_policies_outside_are_told_to_the_host_of_the_floating_ip_and_to_gateway_hosts(tmp_path: Path) -> None:
    """h1 has the guest, h2 leads its router out; the floating IP's own policy comes before its network's."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        n = Neighbourhood()
        own, inherited, gateway = (make(things.QosPolicy) for _ in range(3))
        await n.put(store)
        await put(store, own, inherited, gateway)
        await write(store, lambda tx: tx.update(tx.get(things.Host, "h2"), make_host("h2", "192.0.2.2", "public")))
        await settle(store, dispatcher)
        h1, h2 = await connected(dispatcher, "h1"), await connected(dispatcher, "h2")

        async def changed(thing: Any, **fields: Any) -> tuple[set[str], set[str]]:
            """The policies that h1 and h2 hold after a change."""
            await write(store, lambda tx: tx.change(tx.get(type(thing), thing.id), **fields))
            await settle(store, dispatcher)
            await h1.drain()
            await h2.drain()
            return tuple({id_ for kind, id_ in host.objects if kind == "qos"} for host in (h1, h2))  # type: ignore[return-value]

        assert await changed(n.floating_ip, qos_policy_id=own.id) == ({n.policy.id, own.id}, set())
        floating = h1.objects["floating_ip", n.floating_ip.id]
        assert isinstance(floating, view.FloatingIp) and floating.qos_id == own.id
        outside = n.networks[2][0]
        _, of_guest = await changed(outside, qos_policy_id=inherited.id)
        assert of_guest == {inherited.id}, "of a guest's port on the external network"
        assert await changed(n.floating_ip, qos_policy_id=None) == ({n.policy.id, inherited.id}, {inherited.id})
        assert await changed(outside, qos_policy_id=None) == ({n.policy.id}, set())
        assert await changed(n.router, gateway_qos_policy_id=gateway.id) == ({n.policy.id}, {gateway.id})
        router = h2.objects["router", n.router.id]
        assert isinstance(router, view.Router) and router.gateway and router.gateway.qos_id == gateway.id

    with_dispatcher(tmp_path, body)


def test_a_network_s_policy_is_no_matter_of_the_cloud_s_own_ports(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        policy = make(things.QosPolicy)
        net, sub = make_network(1, qos_policy_id=policy.id)
        dhcp, guest = on(sub, "h1", 2, infrastructure=True), on(sub, "h2", 3)
        await put(store, policy, net, sub, dhcp, guest)
        await settle(store, dispatcher)
        here, there = (await connected(dispatcher, "h1")).objects, (await connected(dispatcher, "h2")).objects
        own, others = here["port", dhcp.id], there["port", guest.id]
        assert isinstance(own, view.Port) and own.qos_id is None and ("qos", policy.id) not in here
        assert isinstance(others, view.Port) and others.qos_id == policy.id and ("qos", policy.id) in there

    with_dispatcher(tmp_path, body)


def test_a_gateway_host_hears_of_a_leg_that_comes_after_the_gateway(tmp_path: Path) -> None:
    """The router leads outside before it has a leg, and nobody behind it is a guest of h2."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        n = Neighbourhood()
        leg = n.legs[0]
        await n.put(store)
        await write(store, lambda tx: tx.update(tx.get(things.Host, "h2"), make_host("h2", "192.0.2.2", "public")))
        await write(store, lambda tx: [tx.delete(each) for each in n.legs[:2]])
        await settle(store, dispatcher)
        h2 = await connected(dispatcher, "h2")
        await h2.drain()
        assert h2.objects["router", n.router.id].interfaces == ()
        await put(store, leg)
        await settle(store, dispatcher)
        await h2.drain()
        assert [each.port_id for each in h2.objects["router", n.router.id].interfaces] == [leg.id]
        assert ("network", leg.network_id) in h2.objects

    with_dispatcher(tmp_path, body)
