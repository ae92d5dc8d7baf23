"""Local IPs and the ports that they mean."""

from typing import Any

import pytest

from tests.resources.below import Below
from tests.resources.world import ADMIN, BOB, NOBODY, World, refused

PATH = "local_ips"


@pytest.fixture
def network(world: World) -> str:
    made = world.network()
    world.subnet(made)
    return made


def test_of_a_port(world: World, network: str) -> None:
    port = world.port(network)
    made = world.create(PATH, name="l", local_port_id=port["id"])
    shown = (made["local_ip_address"], made["network_id"], made["local_port_id"], made["ip_mode"])
    assert shown == (port["fixed_ips"][0]["ip_address"], network, port["id"], "translate")
    assert world.update(PATH, made["id"], {"name": "m"})["name"] == "m"
    assert world.update(PATH, made["id"], {})["revision_number"] == 1
    with refused("ServicePortInUse", "still referenced by Local IPs."):
        world.delete("ports", port["id"])
    world.delete(PATH, made["id"])
    assert world.get("ports", port["id"])
    with refused("LocalIPNotFound", f"Local IP {made['id']} could not be found."):
        world.get(PATH, made["id"])


def test_of_a_network(world: World, network: str) -> None:
    world.subnet(network, "fd00::/64")
    made = world.create(PATH, network_id=network)
    (port,) = world.list("ports", by=ADMIN)
    assert (port["id"], port["device_owner"], port["device_id"]) == (
        made["local_port_id"],
        "network:local_ip",
        made["id"],
    )
    assert (port["status"], made["local_ip_address"]) == ("N/A", "10.0.0.2")
    named = world.create(PATH, network_id=network, local_ip_address="10.0.0.99")
    assert named["local_ip_address"] == "10.0.0.99"
    for one in (made, named):
        world.delete(PATH, one["id"])
    assert world.list("ports", by=ADMIN) == []


def test_an_address_is_not_for_strangers_to_choose(world: World) -> None:
    shared = world.network(ADMIN, shared=True)
    world.subnet(shared, by=ADMIN)
    assert world.create(PATH, network_id=shared)["local_ip_address"] == "10.0.0.2"
    with refused("PolicyNotAuthorized", "create_port:fixed_ips:ip_address"):
        world.create(PATH, network_id=shared, local_ip_address="10.0.0.1")


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({}, "LocalIPPortOrNetworkRequired", "Either Port ID or Network ID must be specified"),
        ({"local_port_id": NOBODY}, "PortNotFound", ""),
        ({"network_id": NOBODY}, "NetworkNotFound", ""),
        ({"network_id": "EMPTY"}, "BadRequest", "does not contain any IPv4 subnet."),
        ({"local_port_id": "NONE"}, "LocalIPNoIP", "has no fixed IPs configured."),
        ({"local_port_id": "TWO"}, "LocalIPNoRequestedIP", "has several IPs"),
        ({"local_port_id": "TWO", "local_ip_address": "1.1.1.1"}, "LocalIPRequestedIPNotFound", "IP address: 1.1.1.1."),
    ],
)
def test_impossible(world: World, network: str, body: dict[str, Any], kind: str, words: str) -> None:
    names = {
        "EMPTY": world.network(),
        "NONE": world.port(network, fixed_ips=[])["id"],
        "TWO": world.port(network, fixed_ips=[{"ip_address": "10.0.0.8"}, {"ip_address": "10.0.0.9"}])["id"],
    }
    filled = {name: names.get(value, value) for name, value in body.items()}
    with refused(kind, words):
        world.create(PATH, filled)
    associations = Below(world, PATH, "port_associations", world.create(PATH, network_id=network)["id"])
    if "local_port_id" in filled:
        with refused(kind, words):
            associations.create(fixed_port_id=filled["local_port_id"], fixed_ip=filled.get("local_ip_address"))


def test_associations(world: World, network: str) -> None:
    local_ip = world.create(PATH, network_id=network)
    associations = Below(world, PATH, "port_associations", local_ip["id"])
    port = world.port(network, ADMIN, project_id="red", **{"binding:host_id": "h1"})
    made = associations.create(fixed_port_id=port["id"])
    assert made == {
        "local_ip_id": local_ip["id"],
        "local_ip_address": local_ip["local_ip_address"],
        "fixed_port_id": port["id"],
        "fixed_ip": port["fixed_ips"][0]["ip_address"],
        "host": "h1",
    }
    assert (associations.get(port["id"]), associations.list(), associations.list(host="h2")) == (made, [made], [])
    with refused("LocalIPAssociationExists"):
        associations.create(fixed_port_id=port["id"])
    with refused("LocalIPInUse", "is still associated with one or more ports."):
        world.delete(PATH, local_ip["id"])
    associations.delete(port["id"])
    for act in (associations.get, associations.delete):
        with refused("LocalIPAssociationNotFound", f"association with port {port['id']} could not be found."):
            act(port["id"])
    associations.create(fixed_port_id=port["id"])
    world.delete("ports", port["id"])
    assert associations.list() == []


def test_revisions_and_strangers(world: World, network: str) -> None:
    made = world.create(PATH, network_id=network)["id"]
    associations = Below(world, PATH, "port_associations", made)
    port = world.port(network)["id"]
    associations.create(fixed_port_id=port)
    with refused("RevisionNumberConstraintFailed"):
        world.update(PATH, made, {"name": "x"}, expected=7)
    with refused("RevisionNumberConstraintFailed"):
        world.delete(PATH, made, expected=7)
    for act in (
        lambda: world.get(PATH, made, BOB),
        lambda: associations.get(port, BOB),
        lambda: associations.list(BOB),
    ):
        with refused("LocalIPNotFound"):
            act()
