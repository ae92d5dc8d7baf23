"""Networks: segments, MTU, sharing, deleting."""

from collections.abc import Iterator

import pytest

from suimon.model.settings import Settings
from tests.resources.world import ADMIN, ALICE, ANN, BOB, NOBODY, World, refused

VLAN = {"provider:network_type": "vlan"}
VXLAN = {"provider:network_type": "vxlan"}
FLAT = {"provider:network_type": "flat"}


@pytest.fixture
def crowded() -> Iterator[World]:
    """A world with five segments."""
    made = World(Settings(vnis=((100, 102), (200, 201))))
    yield made
    made.close()


def test_a_member_gets_a_vxlan_network_and_never_sees_its_segment(world: World) -> None:
    made = world.create("networks", name="n")
    assert (made["mtu"], made["status"], made["subnets"], made["shared"]) == (1450, "ACTIVE", [], False)
    assert not [name for name in made if name.startswith("provider:")]
    seen = world.get("networks", made["id"], ADMIN)
    assert (seen["provider:network_type"], seen["provider:segmentation_id"]) == ("vxlan", 100)


def test_segments_are_given_in_turn_then_from_gaps_then_none(crowded: World) -> None:
    made = [crowded.create("networks", by=ADMIN) for _ in range(5)]
    assert [one["provider:segmentation_id"] for one in made] == [100, 101, 102, 200, 201]
    with refused("NoNetworkAvailable"):
        crowded.network()
    for index in (1, 0):
        crowded.delete("networks", made[index]["id"], ADMIN)
        assert crowded.create("networks", by=ADMIN)["provider:segmentation_id"] == 101 - (1 - index)


def test_vlans_come_from_the_physical_networks_range(world: World) -> None:
    named = world.create("networks", {**VLAN, "provider:physical_network": "physnet1"}, by=ADMIN)
    unnamed = world.create("networks", VLAN, by=ADMIN)
    assert [one["provider:segmentation_id"] for one in (named, unnamed)] == [10, 11]
    assert unnamed["provider:physical_network"] == "physnet1"
    assert unnamed["mtu"] == 1500
    for body in (VLAN, {**VLAN, "provider:physical_network": "physnet1"}):
        with refused("NoNetworkAvailable"):
            world.create("networks", body, by=ADMIN)


def test_an_admin_names_any_segment_of_a_physical_network_that_a_host_has(world: World) -> None:
    world.host("h1", ("physnet9",))
    body = {**VLAN, "provider:physical_network": "physnet9", "provider:segmentation_id": 4094}
    assert world.create("networks", body, by=ADMIN)["provider:segmentation_id"] == 4094
    flat = world.create("networks", {**FLAT, "provider:physical_network": "physnet9"}, by=ADMIN)
    assert flat["provider:segmentation_id"] is None


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"provider:network_type": "junk"}, "InvalidInput", "network_type value 'junk' not supported."),
        ({"provider:segmentation_id": 5}, "InvalidInput", "network_type required"),
        ({"provider:physical_network": "physnet1"}, "InvalidInput", "network_type required"),
        ({**VXLAN, "provider:physical_network": "physnet1"}, "InvalidInput", "physical_network"),
        ({**VXLAN, "provider:segmentation_id": 0}, "InvalidInput", "out of range (1 through 16777215)"),
        ({**VXLAN, "provider:segmentation_id": 1 << 24}, "InvalidInput", "out of range"),
        ({**VLAN, "provider:segmentation_id": 5}, "InvalidInput", "requires physical_network"),
        (
            {**VLAN, "provider:physical_network": "physnet1", "provider:segmentation_id": 5000},
            "InvalidInput",
            "Invalid input for operation: segmentation_id out of range (1 through 4094).",
        ),
        (
            {**VLAN, "provider:physical_network": "nosuch", "provider:segmentation_id": 100},
            "InvalidInput",
            "Invalid input for operation: physical_network 'nosuch' unknown for VLAN provider network.",
        ),
        (FLAT, "InvalidInput", "physical_network required"),
        ({**FLAT, "provider:physical_network": "nosuch"}, "InvalidInput", "unknown for flat"),
        ({**FLAT, "provider:physical_network": "physnet2", "provider:segmentation_id": 1}, "InvalidInput", "flat"),
        ({"mtu": 1451}, "InvalidInput", "Requested MTU is too big, maximum is 1450."),
        ({"qos_policy_id": NOBODY}, "QosPolicyNotFound", f"QoS policy {NOBODY} could not be found."),
    ],
)
def test_impossible_networks(world: World, body: dict[str, object], kind: str, words: str) -> None:
    with refused(kind, words):
        world.create("networks", body, by=ADMIN)
    assert world.list("networks", by=ADMIN) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({**VXLAN, "provider:segmentation_id": 100}, "TunnelIdInUse"),
        ({**VLAN, "provider:physical_network": "physnet1", "provider:segmentation_id": 7}, "VlanIdInUse"),
        ({**FLAT, "provider:physical_network": "physnet2"}, "FlatNetworkInUse"),
    ],
)
def test_a_segment_belongs_to_one_network(world: World, body: dict[str, object], kind: str) -> None:
    world.create("networks", body, by=ADMIN)
    with refused(kind):
        world.create("networks", body, by=ADMIN)


def test_mtu(world: World) -> None:
    network = world.network(mtu="1400")
    assert world.get("networks", network)["mtu"] == 1400
    with refused("InvalidInput"):
        world.update("networks", network, {"mtu": 1451})
    world.subnet(network)
    with refused("NetworkMTUSubnetConflict"):
        world.update("networks", network, {"mtu": 67})
    assert world.update("networks", network, {"mtu": 68})["mtu"] == 68
    with refused("NetworkMTUSubnetConflict"):
        world.subnet(network, "fd00::/64")


def test_a_bulk_is_all_or_nothing(crowded: World) -> None:
    with refused("NoNetworkAvailable"):
        crowded.create_many("networks", [{"name": str(n)} for n in range(6)])
    assert crowded.list("networks") == []
    assert [one["name"] for one in crowded.create_many("networks", [{"name": str(n)} for n in range(5)])] == list(
        "01234"
    )


def test_who_sees_what(world: World) -> None:
    private, shared = world.network(name="private"), world.network(ADMIN, name="shared", shared=True)
    outside = world.network(ADMIN, **{"router:external": True})
    assert {one["id"] for one in world.list("networks", by=BOB)} == {shared, outside}
    assert world.get("networks", shared, BOB)["name"] == "shared"
    for read in (world.get, world.delete, lambda path, id_, by: world.update(path, id_, {"name": "x"}, by)):
        with refused("NetworkNotFound", f"Network {private} could not be found."):
            read("networks", private, BOB)
        with refused("NetworkNotFound"):
            read("networks", NOBODY, BOB)
    assert world.get("networks", private, ANN)["name"] == "private"


def test_revisions(world: World) -> None:
    network = world.network()
    assert world.update("networks", network, {})["revision_number"] == 0
    assert world.update("networks", network, {"name": "n"}, expected=0)["revision_number"] == 1
    for refuse in (lambda: world.update("networks", network, {"name": "x"}, expected=0),
                   lambda: world.delete("networks", network, expected=0)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed", "Constrained to 0, but current revision is 1"):
            refuse()
    world.subnet(network)
    assert world.get("networks", network)["revision_number"] == 2
    world.delete("networks", network, expected=2)


def test_a_network_with_ports_stays(world: World) -> None:
    network = world.network()
    subnet = world.subnet(network)
    port = world.port(network)["id"]
    with refused("NetworkInUse", f"id for these ports is: {port}."):
        world.delete("networks", network)
    world.delete("ports", port)
    world.delete("networks", network)
    with refused("SubnetNotFound"):
        world.get("subnets", subnet, ADMIN)


def test_what_others_use_is_not_taken_away(world: World) -> None:
    network = world.network(ADMIN, shared=True)
    world.subnet(network, by=ADMIN)
    port = world.port(network, BOB)["id"]
    with refused("InvalidSharedSetting"):
        world.update("networks", network, {"shared": False}, ADMIN)
    world.delete("ports", port, BOB)
    assert world.update("networks", network, {"shared": False}, ADMIN)["shared"] is False


def test_an_external_network_in_use_stays_external(world: World) -> None:
    outside = world.outside()
    router = world.router(external_gateway_info={"network_id": outside})
    inside = {"router:external": False}
    with refused("ExternalNetworkInUse"):
        world.update("networks", outside, inside, ADMIN)
    world.delete("routers", router)
    floating_ip = world.create("floatingips", floating_network_id=outside)["id"]
    with refused("ExternalNetworkInUse"):
        world.update("networks", outside, inside, ADMIN)
    world.delete("floatingips", floating_ip)
    assert world.update("networks", outside, inside, ADMIN)["router:external"] is False


def test_the_tenants_network_type_is_the_installations() -> None:
    world = World(Settings(tenant_network_type="vlan", vlans={"a": ((5, 5),), "b": ((6, 6),)}))
    try:
        made = [world.get("networks", world.network(), ADMIN) for _ in range(2)]
        assert [one["provider:physical_network"] for one in made] == ["a", "b"]
    finally:
        world.close()


def test_members_set_nothing_that_is_the_operators(world: World) -> None:
    for body in ({"shared": True}, {"router:external": True}, {**VXLAN}, {"provider:segmentation_id": 100},
                 {"provider:physical_network": "physnet1"}):  # fmt: skip
        with refused("PolicyNotAuthorized"):
            world.create("networks", body, by=ALICE)


def test_what_else_a_network_says(world: World) -> None:
    made = world.create("networks", dns_domain="Test.Org.", availability_zone_hints=["nova"])
    told = ("dns_domain", "availability_zone_hints", "availability_zones", "is_default", "l2_adjacency")
    assert [made[name] for name in told] == ["test.org.", ["nova"], [], False, True]
    assert (made["ipv4_address_scope"], made["ipv6_address_scope"]) == (None, None)
    assert world.update("networks", made["id"], {"dns_domain": "d.org."})["dns_domain"] == "d.org."
    assert [one["id"] for one in world.list("networks", "dns_domain=d.org.")] == [made["id"]]


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"availability_zone_hints": ["zz"]}, "AvailabilityZoneNotFound", "AvailabilityZone zz could not be found."),
        ({"availability_zone_hints": "nova"}, "HTTPBadRequest", "'nova' is not a list."),
        ({"availability_zone_hints": ["nova", "nova"]}, "HTTPBadRequest", "Duplicate items in the list: 'nova, nova'."),
        ({"availability_zone_hints": ["a" * 255]}, "InvalidInput", "Too many availability_zone_hints specified."),
        ({"availability_zone_hints": [{}]}, "HTTPBadRequest", "is not a valid string."),
        ({"dns_domain": "nodot"}, "HTTPBadRequest", "Invalid input for dns_domain. Reason: 'nodot' is not a FQDN."),
    ],
)
def test_impossible_attributes(world: World, body: dict[str, object], kind: str, words: str) -> None:
    with refused(kind, words):
        world.create("networks", body)


def test_one_external_network_is_the_default(world: World) -> None:
    first = world.network(ADMIN, is_default=True, **{"router:external": True})
    second = world.outside()
    for refuse in (lambda: world.network(ADMIN, is_default=True, **{"router:external": True}),
                   lambda: world.update("networks", second, {"is_default": True}, ADMIN)):  # fmt: skip
        with refused("DefaultExternalNetworkExists", f"A default external network already exists: {first}."):
            refuse()
    assert world.update("networks", first, {"is_default": True}, ADMIN)["is_default"] is True
    assert world.update("networks", first, {"router:external": False}, ADMIN)["is_default"] is False
    assert world.update("networks", second, {"is_default": True}, ADMIN)["is_default"] is True
    assert world.create("networks", is_default=True, by=ADMIN)["is_default"] is False


def test_of_a_vlan_network_the_id_may_change(world: World) -> None:
    vlan = {**VLAN, "provider:physical_network": "physnet1"}
    network = world.network(ADMIN, **vlan, **{"provider:segmentation_id": 10})
    world.network(ADMIN, **vlan, **{"provider:segmentation_id": 12})
    changed = world.update("networks", network, {**vlan, "provider:segmentation_id": 11}, ADMIN)
    assert changed["provider:segmentation_id"] == 11
    with refused("VlanIdInUse", "The VLAN 12 on physical network physnet1 is in use."):
        world.update("networks", network, {"provider:segmentation_id": 12}, ADMIN)
    with refused("InvalidInput", "segmentation_id out of range"):
        world.update("networks", network, {"provider:segmentation_id": 4095}, ADMIN)
    for change in ({"provider:network_type": "vxlan"}, {"provider:physical_network": "physnet2"}):
        with refused("InvalidInput", "Plugin does not support updating the following provider network attributes"):
            world.update("networks", network, change, ADMIN)
    with refused("InvalidInput", "Only VLAN type networks can be updated."):
        world.update("networks", world.network(), {"provider:segmentation_id": 150}, ADMIN)
    assert (
        world.update("networks", network, {"provider:segmentation_id": None}, ADMIN)["provider:segmentation_id"] == 11
    )
    # Whoever knows a segment may find his network by it, though he isn't shown it: so Neutron.
    assert world.list("networks", "provider:segmentation_id=11") == []
    assert [one["id"] for one in world.list("networks", "provider:segmentation_id=11", ADMIN)] == [network]


def test_what_only_serves_a_network_goes_with_it(world: World) -> None:
    outside = world.outside()
    floating_ip = world.create("floatingips", floating_network_id=outside)["id"]
    world.port(outside, ADMIN, device_owner="network:dhcp")
    world.delete("networks", outside, ADMIN)
    with refused("FloatingIPNotFound"):
        world.get("floatingips", floating_ip)
    assert world.list("ports", by=ADMIN) == []


KINDS = [("vxlan", 1450, 2**24), ("gre", 1458, 2**32), ("geneve", 1450, 2**24)]


@pytest.mark.parametrize(("kind", "mtu", "most"), KINDS)
def test_networks_of_each_kind_of_tunnel(world: World, kind: str, mtu: int, most: int) -> None:
    """The same number in another kind is another network; MTUs as Neutron computes them."""
    first = world.network(ADMIN, **{"provider:network_type": kind})
    made = world.get("networks", first, ADMIN)
    assert (made["provider:network_type"], made["mtu"]) == (kind, mtu)
    largest = {"provider:network_type": kind, "provider:segmentation_id": most - 1}
    world.network(ADMIN, **largest)
    with refused("TunnelIdInUse"):
        world.network(ADMIN, **largest)
    with refused("InvalidInput", f"segmentation_id out of range (1 through {most - 1})"):
        world.network(ADMIN, **{**largest, "provider:segmentation_id": most})
