"""Ranges of segment ids, and the segments of networks."""

from typing import Any

import pytest

from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused

RANGES = "network_segment_ranges"


def a_range(world: World, minimum: int, maximum: int, **body: Any) -> dict[str, Any]:
    given = {"network_type": "vxlan", "shared": False, "project_id": "red", **body}
    return world.create(RANGES, by=ADMIN, minimum=minimum, maximum=maximum, **given)


def segment(world: World, network: str) -> int:
    return int(world.get("networks", network, ADMIN)["provider:segmentation_id"])


def test_a_projects_networks_are_in_its_range_first_and_others_never(world: World) -> None:
    made = a_range(world, 100, 101)
    assert [segment(world, world.network(ALICE)) for _ in range(3)] == [100, 101, 102]
    assert segment(world, world.network(BOB)) == 103
    shown = world.get(RANGES, made["id"], ADMIN)
    assert (shown["used"], shown["available"]) == ({"100": "red", "101": "red"}, [])


def test_a_shared_range_is_for_all_before_the_installations(world: World) -> None:
    made = a_range(world, 500, 500, shared=True)
    assert made["project_id"] == ""
    assert [segment(world, world.network(BOB)), segment(world, world.network(ALICE))] == [500, 100]


def test_the_installations_own_are_shown_and_read_only(world: World) -> None:
    own = world.list(RANGES, "default=true&network_type=vxlan", ADMIN)
    assert [(one["minimum"], one["maximum"], len(one["available"])) for one in own] == [(100, 199, 100)]
    for act in (
        lambda: world.update(RANGES, own[0]["id"], {"maximum": 150}, ADMIN),
        lambda: world.delete(RANGES, own[0]["id"], ADMIN),
    ):
        with refused("NetworkSegmentRangeDefaultReadOnly"):
            act()
    assert world.list(RANGES, by=ALICE) == []


def test_a_range_in_use_keeps_its_networks(world: World) -> None:
    made = a_range(world, 100, 105)["id"]
    network = world.network(ALICE)
    with refused("NetworkSegmentRangeReferencedByProject"):
        world.update(RANGES, made, {"minimum": 101}, ADMIN)
    assert world.update(RANGES, made, {"minimum": 50, "name": "n"}, ADMIN)["minimum"] == 50
    with refused("NetworkSegmentRangeReferencedByProject"):
        world.delete(RANGES, made, ADMIN)
    world.delete("networks", network)
    world.delete(RANGES, made, ADMIN)
    with refused("NetworkSegmentRangeNotFound"):
        world.get(RANGES, made, ADMIN)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"network_type": "vlan"}, "BadRequest"),
        ({"network_type": "vlan", "physical_network": "p", "maximum": 4095}, "NetworkVlanRangeError"),
        ({"minimum": 30, "maximum": 29}, "NetworkTunnelRangeError"),
        ({"minimum": 15, "maximum": 25}, "NetworkSegmentRangeOverlaps"),
        ({"minimum": 0}, "HTTPBadRequest"),
        ({"maximum": 1 << 32}, "HTTPBadRequest"),
    ],
)
def test_impossible_ranges(world: World, body: dict[str, Any], kind: str) -> None:
    a_range(world, 20, 29)
    with refused(kind):
        a_range(world, **{"minimum": 40, "maximum": 50, **body})


def test_each_network_has_one_segment_that_can_be_named(world: World) -> None:
    network, other = world.network(), world.network()
    (found,) = world.list("segments", f"network_id={network}", ADMIN)
    assert (found["network_type"], found["segmentation_id"], found["name"]) == ("vxlan", segment(world, network), None)
    named = world.update("segments", found["id"], {"name": "s"}, ADMIN)
    assert (named["name"], named["revision_number"]) == ("s", 1)
    assert world.update("segments", found["id"], {"name": "t"}, ADMIN)["revision_number"] == 2
    assert [one["name"] for one in world.list("segments", f"network_id={other}", ADMIN)] == [None]
    assert world.get("segments", found["id"], ADMIN)["name"] == "t"
    with refused("SegmentInUse"):
        world.delete("segments", found["id"], ADMIN)
    with refused("SegmentInUse"):
        world.create("segments", by=ADMIN, network_id=network, network_type="vxlan")
    with refused("NetworkNotFound"):
        world.create("segments", by=ADMIN, network_id=NOBODY, network_type="vxlan")
    world.delete("networks", network)
    with refused("SegmentNotFound"):
        world.get("segments", found["id"], ADMIN)
    assert world.list("segments", by=ALICE) == []
