"""Flavors, service profiles, and routers of a flavor."""

import pytest

from tests.resources.below import Below
from tests.resources.world import ADMIN, ALICE, NOBODY, World, refused

PATH = "neutron.services.l3_router.service_providers."
SINGLE, DVR = f"{PATH}single_node.SingleNodeDriver", f"{PATH}dvr.DvrDriver"


@pytest.fixture
def profile(world: World) -> str:
    return str(world.create("service_profiles", driver=SINGLE, by=ADMIN)["id"])


@pytest.fixture
def flavor(world: World, profile: str) -> str:
    made = world.create("flavors", name="f", service_type="L3_ROUTER_NAT", by=ADMIN)["id"]
    assert bound(world, made).create(ADMIN, id=profile) == {"id": made}
    return str(made)


def bound(world: World, flavor: str) -> Below:
    return Below(world, "flavors", "service_profiles", flavor)


def test_everybody_sees_flavors_and_operators_profiles(world: World, flavor: str, profile: str) -> None:
    assert world.get("flavors", flavor) == {
        "id": flavor,
        "name": "f",
        "description": "",
        "service_type": "L3_ROUTER_NAT",
        "enabled": True,
        "service_profiles": [profile],
    }
    assert [one["id"] for one in world.list("flavors")] == [flavor]
    assert (bound(world, flavor).list(), bound(world, flavor).get(profile)) == ([{"id": profile}], {"id": profile})
    assert world.view("flavors", "GET {}/next_providers", flavor, by=ALICE) == {
        "next_providers": [{"driver": SINGLE, "provider": "single_node"}]
    }
    assert world.get("service_profiles", profile, ADMIN) == {
        "id": profile,
        "description": "",
        "driver": SINGLE,
        "metainfo": "",
        "enabled": True,
    }
    assert world.list("service_profiles") == []
    with refused("ServiceProfileNotFound", f"Service Profile {profile} could not be found."):
        world.get("service_profiles", profile)


def test_they_change_and_go(world: World, flavor: str, profile: str) -> None:
    assert world.update("flavors", flavor, {"enabled": False, "name": "g"}, ADMIN)["enabled"] is False
    assert world.update("flavors", flavor, {}, ADMIN)["name"] == "g"
    for act in (
        lambda: world.update("service_profiles", profile, {}, ADMIN),
        lambda: world.delete("service_profiles", profile, ADMIN),
    ):
        with refused("ServiceProfileInUse", f"Service Profile {profile} is used by some service instance."):
            act()
    bound(world, flavor).delete(profile, ADMIN)
    assert world.update("service_profiles", profile, {"metainfo": "m"}, ADMIN)["metainfo"] == "m"
    world.delete("service_profiles", profile, ADMIN)
    world.delete("flavors", flavor, ADMIN)
    with refused("FlavorNotFound", f"Flavor {flavor} could not be found."):
        world.get("flavors", flavor)


def test_impossible_profiles(world: World, profile: str) -> None:
    with refused("ServiceProfileEmpty", "Service Profile needs either a driver or metainfo."):
        world.create("service_profiles", by=ADMIN)
    with refused("ServiceProfileDriverNotFound", "Service Profile driver nosuch could not be found."):
        world.create("service_profiles", driver="nosuch", by=ADMIN)
    with refused("ServiceProfileDriverNotFound"):
        world.update("service_profiles", profile, {"driver": "nosuch"}, ADMIN)
    with refused("InvalidServiceType", "Invalid service type: nosuch."):
        world.create("flavors", service_type="nosuch", by=ADMIN)


def test_impossible_bindings(world: World, flavor: str, profile: str) -> None:
    with refused("FlavorServiceProfileBindingExists", f"{profile} is already associated with flavor {flavor}."):
        bound(world, flavor).create(ADMIN, id=profile)
    with refused("ServiceProfileNotFound"):
        bound(world, flavor).create(ADMIN, id=NOBODY)
    for act in (bound(world, flavor).get, bound(world, flavor).delete):
        with refused("FlavorServiceProfileBindingNotFound", f"{NOBODY} is not associated with flavor {flavor}."):
            act(NOBODY, ADMIN)


def test_a_router_of_a_flavor(world: World, flavor: str) -> None:
    assert world.create("routers", flavor_id=flavor)["flavor_id"] == flavor
    with refused("FlavorInUse", f"Flavor {flavor} is used by some service instance."):
        world.delete("flavors", flavor, ADMIN)
    with refused("InvalidInput", "Provider single_node does not support distributed=True."):
        world.create("routers", flavor_id=flavor, distributed=True, by=ADMIN)
    made = world.create("routers", flavor_id=flavor, ha=False, distributed=False, admin_state_up=False, by=ADMIN)["id"]
    with refused("InvalidInput", "on a router associated with a flavor is not supported."):
        world.update("routers", made, {"ha": True}, ADMIN)


def test_a_flavor_that_provides_nothing(world: World, flavor: str, profile: str) -> None:
    bound(world, flavor).delete(profile, ADMIN)
    with refused("FlavorServiceProfileBindingNotFound"):
        world.create("routers", flavor_id=flavor)
    with refused("FlavorNotFound"):
        world.create("routers", flavor_id=NOBODY)
    world.update("service_profiles", profile, {"enabled": False}, ADMIN)
    bound(world, flavor).create(ADMIN, id=profile)
    with refused("ServiceProfileDisabled", "Service Profile is not enabled."):
        world.create("routers", flavor_id=flavor)
    empty = world.create("service_profiles", metainfo="m", by=ADMIN)["id"]
    bound(world, flavor).delete(profile, ADMIN)
    bound(world, flavor).create(ADMIN, id=empty)
    with refused("ServiceProfileDriverNotFound"):
        world.create("routers", flavor_id=flavor)


def test_revisions(world: World, flavor: str) -> None:
    free = world.create("service_profiles", driver=DVR, by=ADMIN)["id"]
    for path, id_ in (("flavors", flavor), ("service_profiles", free)):
        with refused("RevisionNumberConstraintFailed"):
            world.update(path, id_, {"description": "x"}, ADMIN, expected=7)
        with refused("RevisionNumberConstraintFailed"):
            world.delete(path, id_, ADMIN, expected=7)
