"""Who is told what of a port that moves from host to host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from suimon.distribution.dispatch import Dispatcher
from suimon.model import things, view
from suimon.model.gateways import candidates, ranked
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Asked
from suimon.store.store import Store
from suimon.store.tx import Tx
from tests.distribution.acts import NOVA
from tests.distribution.test_dispatch import connected, make_network, on, with_dispatcher
from tests.distribution.world import make, make_host, make_port, put, settle, write


def test_a_port_between_two_hosts_is_told_to_both_and_its_move_to_others_in_one_small_delta(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        port = on(sub, "h1", device_owner="compute:nova")
        await put(store, make_host("h3", "192.0.2.3"), net, sub, port, on(sub, "h3", 4))
        await settle(store, dispatcher)
        source, target, third = [await connected(dispatcher, host) for host in ("h1", "h2", "h3")]

        async def told(act: Callable[[Tx], object]) -> list[view.Port]:
            await write(store, act)
            await settle(store, dispatcher)
            for follower in (source, target, third):
                await follower.drain()
            return [follower.objects["port", port.id] for follower in (source, target)]  # type: ignore[misc]

        waiting = make(things.PortBinding, port_id=port.id, host="h2")
        before = len(third.frames)
        here, there = await told(lambda tx: (tx.insert(waiting), tx.touch("port", port.id, "host:h1")))
        assert (here.host, here.active, here.others) == ("h1", True, ("192.0.2.2",))
        assert (there.host, there.active, there.others) == ("h2", False, ("192.0.2.1",))
        assert ("network", net.id) in target.objects and ("peer", port.id) in target.objects
        assert len(third.frames) == before
        here, there = await told(lambda tx: tx.change(tx.get(things.Port, port.id), name="new"))  # type: ignore[type-var]
        assert here.name == there.name == "new"
        assert len(third.frames) == before
        nova = Asked(ids=(port.id, "h2"))
        activate = RESOURCES["ports"].children["bindings"].views["PUT {}/activate"].act
        here, there = await told(lambda tx: activate(tx, NOVA, nova))
        assert (here.active, here.others) == (False, ("192.0.2.2",))
        assert (there.active, there.others) == (True, ("192.0.2.1",))
        (delta,) = third.frames[before:]
        assert isinstance(delta, view.Delta) and (delta.dropped, delta.deleted) == ((), ())
        assert [(view.key(each), each.host) for each in delta.objects] == [(("peer", port.id), "h2")]  # type: ignore[union-attr]

    with_dispatcher(tmp_path, body)


def test_where_a_guest_is_waited_for_its_floating_ip_is_known(tmp_path: Path) -> None:
    """A trunk's subport has it, whose bindings are its parent's; the move itself is one delta."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        outside = make(things.Network, network_type="flat", physnet="public", external=True)
        net, sub = make_network(1)
        parent, port = (on(sub, "h1", last, device_owner="compute:nova") for last in (5, 6))
        trunk = make(things.Trunk, port_id=parent.id)
        router = make(things.Router, gateway_network_id=outside.id)
        address = make_port(outside.id)
        floating = make(
            things.FloatingIp,
            floating_network_id=outside.id,
            floating_ip_address="203.0.113.9",
            floating_port_id=address.id,
            port_id=port.id,
            fixed_ip_address=port.fixed_ips[0].ip,
            router_id=router.id,
        )
        subport = things.Subport(trunk_id=trunk.id, port_id=port.id, segmentation_type="vlan", segmentation_id=7)
        await put(store, net, sub, outside, parent, port, address, router, trunk, subport, floating)
        await settle(store, dispatcher)
        source, target = [await connected(dispatcher, host) for host in ("h1", "h2")]

        async def known(act: Callable[[Tx], object]) -> list[bool | None]:
            """Whether it is active at either of them; None where it is not known at all."""
            await write(store, act)
            await settle(store, dispatcher)
            for follower in (source, target):
                await follower.drain()
            found = [follower.objects.get(("floating_ip", floating.id)) for follower in (source, target)]
            return [each.active if isinstance(each, view.FloatingIp) else None for each in found]

        bindings = RESOURCES["ports"].children["bindings"]
        made = bindings.spec.for_create({"host": "h2"}, NOVA)
        assert await known(lambda tx: bindings.create(tx, NOVA, parent.id, made)) == [True, False]
        policy = make(things.QosPolicy)
        await put(store, policy)
        change = {"qos_policy_id": policy.id}
        assert await known(lambda tx: tx.change(tx.get(things.FloatingIp, floating.id), **change)) == [True, False]
        told = target.objects["floating_ip", floating.id]
        assert isinstance(told, view.FloatingIp) and told.qos_id == policy.id
        before = len(target.frames)
        activate = bindings.views["PUT {}/activate"].act
        assert await known(lambda tx: activate(tx, NOVA, Asked(ids=(parent.id, "h2")))) == [False, True]
        assert len(target.frames) == before + 1
        assert await known(lambda tx: bindings.delete(tx, NOVA, parent.id, "h1", None)) == [None, True]

    with_dispatcher(tmp_path, body)


@pytest.mark.parametrize("state", ["drained", "silent"])
def test_when_a_gateway_host_leads_no_more_another_hears_of_its_routers(tmp_path: Path, state: str) -> None:
    """It did not hold them, the log names none of them, and who held them is not linked to this controller."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        outside = make(things.Network, network_type="flat", physnet="public", external=True)
        hosts = {f"g{number}": make_host(f"g{number}", f"192.0.2.{number}", "public") for number in range(3, 6)}
        router = make(things.Router, gateway_network_id=outside.id)
        way_out = make_port(outside.id, device_id=router.id, device_owner=ROUTER_GATEWAY)
        leaders = ranked(router.id, candidates((name, host.tunnel_ip) for name, host in hosts.items()))
        (third,) = hosts.keys() - {each.host for each in leaders}
        await put(store, *hosts.values(), outside, router, way_out)
        await settle(store, dispatcher)
        follower = await connected(dispatcher, third)
        assert ("router", router.id) not in follower.objects
        first = hosts[leaders[0].host]
        await write(store, lambda tx: tx.update(first, replace(first, **{state: True})))
        await settle(store, dispatcher)
        await follower.drain()
        assert ("router", router.id) in follower.objects

    with_dispatcher(tmp_path, body)


def test_a_gateway_host_without_guests_hears_of_a_routers_first_network(tmp_path: Path) -> None:
    """The router was given its way out before it had a leg."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        outside = make(things.Network, network_type="flat", physnet="public", external=True)
        net, sub = make_network(2)
        await put(store, make_host("h3", "192.0.2.3", "public"), outside, net, sub)
        router = make(things.Router, gateway_network_id=outside.id)
        leg, way_out = (
            make_port(of.id, device_id=router.id, device_owner=owner)
            for of, owner in ((net, ROUTER_INTERFACE), (outside, ROUTER_GATEWAY))
        )
        await settle(store, dispatcher)
        gateway = await connected(dispatcher, "h3")
        for thing in (router, way_out, leg):
            await put(store, thing)
            await settle(store, dispatcher)
        await gateway.drain()
        assert {("router", router.id), ("network", net.id), ("subnet", sub.id)} <= gateway.objects.keys()

    with_dispatcher(tmp_path, body)
