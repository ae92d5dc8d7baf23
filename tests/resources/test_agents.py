"""Hypervisors as Neutron's agents, and what else is read of the installation."""

from datetime import timedelta

import pytest

from suimon.model.things import Host
from suimon.resources import hosts
from suimon.resources.agents import SEEN_WITHIN
from tests.resources.world import ADMIN, ALICE, NOBODY, World, refused


@pytest.fixture
def ids(world: World) -> dict[str, str]:
    """Agent type → id, on one host."""
    world.host("hv1", ("physnet1",))
    return {agent["agent_type"]: agent["id"] for agent in world.list("agents", by=ADMIN)}


def test_a_host_is_three_agents(world: World, ids: dict[str, str]) -> None:
    assert list(ids) == ["Open vSwitch agent", "L3 agent", "DHCP agent"]
    shown = world.get("agents", ids["Open vSwitch agent"], ADMIN)
    assert (shown["host"], shown["alive"], shown["admin_state_up"]) == ("hv1", False, True)
    assert shown["configurations"]["bridge_mappings"] == {"physnet1": "br-physnet1"}
    assert world.get("agents", ids["L3 agent"], ADMIN)["availability_zone"] == "nova"
    assert [one["id"] for one in world.list("agents", "agent_type=DHCP Agent", ADMIN)] == [ids["DHCP agent"]]
    assert world.list("agents", by=ALICE) == []
    with refused("AgentNotFound"):
        world.get("agents", ids["L3 agent"], ALICE)


def test_it_is_alive_while_its_host_is_heard_of(world: World, ids: dict[str, str]) -> None:
    world.write(lambda tx: hosts.note_seen(tx, {"hv1", "unknown"}))
    assert all(agent["alive"] for agent in world.list("agents", "host=hv1", ADMIN))
    world.clock_ahead(SEEN_WITHIN + timedelta(seconds=1))
    assert world.list("agents", "alive=true", ADMIN) == []


def test_it_is_not_alive_for_ever_because_a_clock_was_set_back(world: World, ids: dict[str, str]) -> None:
    world.write(lambda tx: hosts.note_seen(tx, {"hv1"}))
    world.clock_ahead(timedelta(hours=-1))
    world.write(lambda tx: hosts.note_seen(tx, {"another"}))
    assert world.list("agents", "alive=true", ADMIN), "it may have been a second ago"
    world.clock_ahead(SEEN_WITHIN + timedelta(seconds=1))
    assert world.list("agents", "alive=true", ADMIN) == []


def test_what_an_operator_says_of_it_stays(world: World, ids: dict[str, str]) -> None:
    told = world.update("agents", ids["L3 agent"], {"description": "rack 4", "admin_state_up": False}, ADMIN)
    assert (told["description"], told["admin_state_up"]) == ("rack 4", False)
    assert [one["id"] for one in world.list("agents", "admin_state_up=false", ADMIN)] == [ids["L3 agent"]]
    assert world.update("agents", ids["L3 agent"], {"description": None}, ADMIN)["description"] is None
    with refused("AgentInUse", "hv1"):
        world.delete("agents", ids["L3 agent"], ADMIN)
    with refused("AgentNotFound"):
        world.delete("agents", NOBODY, ADMIN)


@pytest.mark.parametrize(
    ("agent", "below", "key", "collection", "back"),
    [
        ("L3 agent", "l3-routers", "router_id", "routers", "GET {}/l3-agents"),
        ("DHCP agent", "dhcp-networks", "network_id", "networks", "GET {}/dhcp-agents"),
    ],
)
def test_agents_serve_all_but_what_was_taken_away(
    world: World, ids: dict[str, str], agent: str, below: str, key: str, collection: str, back: str
) -> None:
    id_, other = ids[agent], ids["Open vSwitch agent"]
    thing = world.create(collection, name="x")["id"]
    assert [one["id"] for one in world.view("agents", f"GET {{}}/{below}", id_)[collection]] == [thing]
    assert [one["id"] for one in world.view(collection, back, thing)["agents"]] == [id_]
    world.view("agents", f"DELETE {{}}/{below}/{{}}", id_, thing)
    assert world.view("agents", f"GET {{}}/{below}", id_) == {collection: []}
    assert world.view(collection, back, thing) == {"agents": []}
    with refused("RouterNotHostedByL3Agent" if collection == "routers" else "NetworkNotHostedByDhcpAgent"):
        world.view("agents", f"DELETE {{}}/{below}/{{}}", id_, thing)
    world.view("agents", f"POST {{}}/{below}", id_, body={key: thing})
    assert len(world.view(collection, back, thing)["agents"]) == 1
    with refused("HTTPBadRequest", key):
        world.view("agents", f"POST {{}}/{below}", id_, body={})
    with refused("RouterNotFound" if collection == "routers" else "NetworkNotFound"):
        world.view("agents", f"POST {{}}/{below}", id_, body={key: NOBODY})
    with refused("InvalidL3Agent" if collection == "routers" else "InvalidDHCPAgent"):
        world.view("agents", f"GET {{}}/{below}", other)


def test_a_network_is_given_to_a_dhcp_agent_once(world: World, ids: dict[str, str]) -> None:
    network = world.network()
    with refused("NetworkHostedByDHCPAgent"):
        world.view("agents", "POST {}/dhcp-networks", ids["DHCP agent"], body={"network_id": network})


def test_zones_and_providers(world: World) -> None:
    zones = [(zone["name"], zone["resource"], zone["state"]) for zone in world.list("availability_zones")]
    assert sorted(zones) == [("nova", "network", "available"), ("nova", "router", "available")]
    assert [one["name"] for one in world.list("service-providers")] == ["suimon"]


def test_how_full_networks_are(world: World) -> None:
    network, empty = world.network(), world.network()
    world.subnet(network)
    world.subnet(network, "2001:db8::/64")
    world.port(network)
    shown = world.get("network-ip-availabilities", network, ADMIN)
    assert (shown["total_ips"], shown["used_ips"]) == (253 + 2**64 - 1, 2)
    (four,) = world.list("network-ip-availabilities", f"ip_version=4&network_id={network}", ADMIN)
    assert [(one["total_ips"], one["used_ips"]) for one in four["subnet_ip_availability"]] == [(253, 1)]
    assert world.get("network-ip-availabilities", empty, ADMIN)["total_ips"] == 0
    assert world.list("network-ip-availabilities", by=ALICE) == []
    with refused("NetworkNotFound"):
        world.get("network-ip-availabilities", network, ALICE)


def test_a_host_is_silent_while_nothing_is_heard_of_it(world: World, ids: dict[str, str]) -> None:
    """Those who lead routers out with it are told when that turns, and else nothing is written."""

    def silent(*leading: str) -> list[str]:
        world.write(lambda tx: hosts.note_silent(tx, timedelta(minutes=2), leading))
        return [host.name for host in world.read(lambda tx: tx.select(Host, {"silent": True}))]

    world.write(lambda tx: hosts.note_seen(tx, {"hv1"}))
    assert silent() == silent("hv1") == []
    world.clock_ahead(timedelta(minutes=2, seconds=1))
    assert silent() == ["hv1"]
    before = world.read(lambda tx: tx.position())
    assert silent() == ["hv1"] and world.read(lambda tx: tx.position()) == before
    world.write(lambda tx: hosts.note_seen(tx, {"hv1"}))
    assert silent() == silent("hv2") == ["hv1"], "it is there, but doesn't lead out yet"
    assert silent("hv1", "hv2") == []
