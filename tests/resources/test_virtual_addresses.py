"""Virtual addresses: of a port that is bound to no host, where the guest that claimed one last is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from suimon.distribution.objects import read
from suimon.model import view
from suimon.model.things import FloatingIp, VirtualAddress
from suimon.resources import hosts
from tests.resources.world import ADMIN, ALICE, World

IP, IP6 = "10.0.0.100", "2001:db8::100"


class Pair:
    """Two guests on two hosts that may have the addresses, and the port that keeps them."""

    def __init__(self, world: World) -> None:
        self.world = world
        outside = world.outside()
        self.network = world.network()
        subnets = [world.subnet(self.network), world.subnet(self.network, "2001:db8::/64")]
        self.router = world.router(external_gateway_info={"network_id": outside})
        world.act(self.router, "add_router_interface", {"subnet_id": subnets[0]})
        self.kept = world.port(self.network, fixed_ips=[{"ip_address": IP}, {"ip_address": IP6}])["id"]
        self.floating = world.create("floatingips", floating_network_id=outside, port_id=self.kept)["id"]
        pairs = [{"ip_address": IP}, {"ip_address": f"{IP6}/128"}, {"ip_address": "10.0.0.128/25"}]
        self.one, self.two = (
            world.port(self.network, ADMIN, allowed_address_pairs=pairs, project_id="red", **{"binding:host_id": host})
            for host in ("h1", "h2")
        )

    def claim(self, port: dict[str, Any], ip: str = IP, host: str = "", mac: str = "", age_s: float = 0.0) -> int:
        """How many of the claim's changes were made: none or one, as it was announced."""
        claim = view.Claim(port["id"], view.AddressPair(mac or port["mac_address"], ip), age_s)
        host = host or port["binding:host_id"]
        before = self.world.read(lambda tx: (tx.select(VirtualAddress), tx.position()[2]))
        news = self.world.read(lambda tx: hosts.claims_to_note(tx, host, [claim]))
        self.world.write(lambda tx: hosts.note_claims(tx, host, [claim]))
        after = self.world.read(lambda tx: (tx.select(VirtualAddress), tx.position()[2]))
        assert (before[0] != after[0]) == (before[1] != after[1]) == bool(news)
        return len(news)

    def holders(self) -> dict[str, str]:
        return self.world.read(lambda tx: {each.ip: each.holder_id for each in tx.select(VirtualAddress)})

    def told(self) -> tuple[set[str], list[tuple[str, str, str]]]:
        """Which ports are told to hold something, and where the floating IP is told to be, with what behind it."""
        scopes = ("host:h1", "host:h2", f"peers:{self.network}")
        objects = self.world.read(lambda tx: read(tx, scopes, ()))
        held = {
            f"{one.id}/{each.cidr}" for one in objects if isinstance(one, view.Port | view.Peer) for each in one.holds
        }
        behind = [(one.host, one.port_id, one.fixed_ip) for one in objects if isinstance(one, view.FloatingIp)]
        return held, behind

    def led(self) -> tuple[str | None, str]:
        floating = self.world.read(lambda tx: tx.get(FloatingIp, self.floating))
        assert floating is not None
        return floating.holder_id, floating.status


@pytest.fixture
def pair(world: World) -> Pair:
    return Pair(world)


def test_the_last_claim_wins_and_the_floating_ip_follows(world: World, pair: Pair) -> None:
    assert pair.told() == (set(), []) and pair.led() == (None, "DOWN")
    assert pair.claim(pair.one) == 1 and pair.claim(pair.one) == 0
    assert pair.told() == ({f"{pair.one['id']}/{IP}"}, [("h1", pair.one["id"], IP)])
    world.clock_ahead(timedelta(seconds=2))
    assert pair.claim(pair.two) == 1 and pair.claim(pair.two, IP6) == 1
    assert pair.holders() == {IP: pair.two["id"], IP6: pair.two["id"]}
    assert pair.told() == ({f"{pair.two['id']}/{ip}" for ip in (IP, IP6)}, [("h2", pair.two["id"], IP)])
    world.write(lambda tx: hosts.set_port_status(tx, "h2", [view.PortReport(pair.two["id"], "ACTIVE")]))
    assert pair.led() == (pair.two["id"], "ACTIVE")
    shown = world.get("floatingips", pair.floating)
    assert (shown["port_id"], shown["fixed_ip_address"], "holder_id" in shown) == (pair.kept, IP, False)


def test_an_address_changes_hands_once_a_second_at_most(world: World, pair: Pair) -> None:
    assert pair.claim(pair.one) == 1
    assert pair.claim(pair.two) == 0
    world.clock_ahead(timedelta(seconds=2))
    assert pair.claim(pair.two, age_s=1.5) == 0, "it was made when the first one had just claimed it"
    assert pair.claim(pair.two) == 1
    assert pair.claim(pair.one) == 0


def test_only_a_port_that_has_the_pair_is_believed(world: World, pair: Pair) -> None:
    bare = world.port(pair.network, ADMIN, **{"binding:host_id": "h1"})
    assert pair.claim(bare) == 0
    assert pair.claim(pair.one, host="h2") == 0
    assert pair.claim(pair.one, mac="02:00:00:00:00:99") == 0
    assert pair.claim(pair.one, "10.0.0.200") == 0, "a prefix is no address"
    assert pair.claim(pair.one, "no address") == 0
    world.update("ports", pair.kept, {"binding:host_id": "h3"}, ADMIN)
    assert pair.claim(pair.one) == 0, "it is a guest's own by now"


def test_a_holder_that_goes_frees_it(world: World, pair: Pair) -> None:
    """Whatever way it goes; nobody is told of it then."""
    for leaves in (
        lambda: world.update("ports", pair.one["id"], {"allowed_address_pairs": []}, ADMIN),
        lambda: world.update("ports", pair.one["id"], {"binding:host_id": ""}, ADMIN),
        lambda: world.delete("ports", pair.one["id"], ADMIN),
    ):
        pairs = {"allowed_address_pairs": [{"ip_address": IP}], "binding:host_id": "h1"}
        world.update("ports", pair.one["id"], pairs, ADMIN)
        assert pair.claim(pair.one) == 1
        leaves()
        assert pair.holders() == {} and pair.told() == (set(), []) and pair.led() == (None, "DOWN")


def test_a_holder_that_migrates_keeps_it(world: World, pair: Pair) -> None:
    pair.claim(pair.one)
    world.update("ports", pair.one["id"], {"binding:host_id": "h2"}, ADMIN)
    assert pair.told() == ({f"{pair.one['id']}/{IP}"}, [("h2", pair.one["id"], IP)])


def test_an_address_that_is_no_longer_virtual_is_held_by_nobody(world: World, pair: Pair) -> None:
    pair.claim(pair.one)
    pair.claim(pair.one, IP6)
    world.update("ports", pair.kept, {"fixed_ips": [{"ip_address": IP}]})
    assert pair.holders() == {IP: pair.one["id"]}
    world.update("ports", pair.kept, {"binding:host_id": "h1"}, ADMIN)
    assert pair.holders() == {}
    assert pair.told() == (set(), [("h1", pair.kept, IP)])
    world.update("ports", pair.kept, {"binding:host_id": ""}, ADMIN)
    assert pair.claim(pair.one) == 1
    world.delete("ports", pair.kept, ALICE)
    assert pair.holders() == {} and pair.told() == (set(), [])


def test_a_floating_ip_that_comes_later_finds_the_holder(world: World, pair: Pair) -> None:
    world.update("floatingips", pair.floating, {"port_id": None})
    pair.claim(pair.one)
    assert pair.told()[1] == []
    world.update("floatingips", pair.floating, {"port_id": pair.kept})
    assert pair.told()[1] == [("h1", pair.one["id"], IP)]
    world.update("floatingips", pair.floating, {"port_id": None})
    assert pair.told()[1] == [] and pair.led() == (None, "DOWN")
