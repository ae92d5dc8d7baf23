"""Flavors of services, which tenants choose, and the profiles that say how each is provided, which operators keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import true

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import BadRequest, Conflict, NotFound, Unavailable
from suimon.model.specs.flavors import BOUND_PROFILE, FLAVOR, SERVICE_PROFILE
from suimon.model.things import Flavor, Router, ServiceProfile
from suimon.resources.collection import Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require, require_act
from suimon.resources.resource import Asked
from suimon.store.tx import Tx

SPEC: Final = FLAVOR.governed_by(RULES)
PROFILE_SPEC: Final = SERVICE_PROFILE.governed_by(RULES)
BOUND_SPEC: Final = BOUND_PROFILE
_PATH: Final = "neutron.services.l3_router.service_providers."
_NOBODYS: Final = Target("")
DRIVERS: Final[Mapping[str, tuple[str, Mapping[str, bool]]]] = {
    f"{_PATH}dvrha.DvrHaDriver": ("dvrha", {"distributed": True, "ha": True}),
    f"{_PATH}dvr.DvrDriver": ("dvr", {"distributed": True, "ha": False}),
    f"{_PATH}ha.HaDriver": ("ha", {"distributed": False, "ha": True}),
    f"{_PATH}single_node.SingleNodeDriver": ("single_node", {"distributed": False, "ha": False}),
}
"""What a profile's driver may be: Neutron's drivers of routers, the provider's name of each, and the flags that a
router of it has. All of them are the same routers here.
"""
FLAVORS: Final = Collection(
    spec=SPEC, type=Flavor, not_found=("FlavorNotFound", "Flavor {} could not be found."), visible=true()
)
SERVICE_PROFILES: Final = Collection(
    spec=PROFILE_SPEC,
    type=ServiceProfile,
    not_found=("ServiceProfileNotFound", "Service Profile {} could not be found."),
    visible=~true(),
)


def create_flavors(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Flavor]:
    """All or none. Raises Forbidden."""
    for one in wanted:
        require_act(actor, "create_flavor", SPEC, one, _NOBODYS)
    flavors = [Flavor(**_new(tx, one)) for one in wanted]
    tx.insert_many(flavors)
    return flavors


def update_flavor(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Flavor:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    flavor = FLAVORS.find(tx, actor, id_)
    require_act(actor, "update_flavor", SPEC, wanted, _NOBODYS)
    require_revision(flavor, expected_revision)
    return tx.change(flavor, **wanted) if wanted else flavor


def delete_flavor(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed, Conflict while a router has it."""
    flavor = FLAVORS.find(tx, actor, id_)
    require_act(actor, "delete_flavor", SPEC, {}, _NOBODYS)
    require_revision(flavor, expected_revision)
    if tx.select(Router, {"flavor_id": id_}, limit=1):
        raise Conflict(f"Flavor {id_} is used by some service instance.", "FlavorInUse")
    tx.delete(flavor)


def create_profiles(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[ServiceProfile]:
    """All or none. Raises Forbidden, BadRequest for one that says nothing, NotFound for its driver."""
    for one in wanted:
        require_act(actor, "create_service_profile", PROFILE_SPEC, one, _NOBODYS)
        _require_driver(one["driver"])
        if not one["driver"] and not one["metainfo"]:
            raise BadRequest("Service Profile needs either a driver or metainfo.", "ServiceProfileEmpty")
    profiles = [ServiceProfile(**_new(tx, one)) for one in wanted]
    tx.insert_many(profiles)
    return profiles


def update_profile(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> ServiceProfile:
    """Raises NotFound, PreconditionFailed, Conflict while a flavor has it."""
    profile = _unused(tx, actor, id_, expected_revision)
    require_act(actor, "update_service_profile", PROFILE_SPEC, wanted, _NOBODYS)
    _require_driver(wanted.get("driver", ""))
    return tx.change(profile, **wanted) if wanted else profile


def delete_profile(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, PreconditionFailed, Conflict while a flavor has it."""
    profile = _unused(tx, actor, id_, expected_revision)
    require(actor, "delete_service_profile", _NOBODYS)
    tx.delete(profile)


def bind_profile(tx: Tx, actor: Actor, flavor_id: str, wanted: Mapping[str, Any]) -> Shown:
    """Below a flavor. The answer names the flavor, as in Neutron. Raises NotFound, Forbidden, Conflict."""
    flavor = FLAVORS.find(tx, actor, flavor_id)
    require(actor, "create_flavor_service_profile", _NOBODYS)
    profile = SERVICE_PROFILES.find(tx, actor, wanted["id"])
    if profile.id in flavor.service_profiles:
        raise Conflict(
            f"Service Profile {profile.id} is already associated with flavor {flavor_id}.",
            "FlavorServiceProfileBindingExists",
        )
    return Shown(tx.change(flavor, service_profiles=(*flavor.service_profiles, profile.id)))


def unbind_profile(tx: Tx, actor: Actor, flavor_id: str, id_: str, _expected: int | None = None) -> None:
    """Raises NotFound, Forbidden."""
    flavor = FLAVORS.find(tx, actor, flavor_id)
    require(actor, "delete_flavor_service_profile", _NOBODYS)
    _require_bound(flavor, id_)
    left = tuple(one for one in flavor.service_profiles if one != id_)
    tx.change(flavor, service_profiles=left)


def bound_profiles(tx: Tx, actor: Actor, flavor_id: str) -> list[Shown]:
    """All of a flavor. Raises NotFound."""
    flavor = FLAVORS.find(tx, actor, flavor_id)
    return [Shown(flavor, {"id": id_}) for id_ in flavor.service_profiles]


def bound_profile(tx: Tx, actor: Actor, flavor_id: str, id_: str) -> Shown:
    """Raises NotFound."""
    flavor = FLAVORS.find(tx, actor, flavor_id)
    _require_bound(flavor, id_)
    return Shown(flavor, {"id": id_})


def next_providers(tx: Tx, actor: Actor, asked: Asked) -> dict[str, object]:
    """By whom a service of this flavor is provided. Raises NotFound, Unavailable."""
    driver = _driver(tx, FLAVORS.find(tx, actor, asked.ids[0]))
    return {"next_providers": [{"driver": driver, "provider": DRIVERS[driver][0]}]}


def require_driver_allows(tx: Tx, flavor_id: str, routers: Sequence[Mapping[str, Any]]) -> None:
    """For routers of a flavor: their flags, as far as they have any, are its driver's.

    Raises NotFound, BadRequest, Unavailable when its profile is switched off.
    """
    flavor = tx.get(Flavor, flavor_id)
    if flavor is None:
        raise FLAVORS.missing(flavor_id)
    name, flags = DRIVERS[_driver(tx, flavor)]
    for router in routers:
        for flag, value in flags.items():
            if router.get(flag, value) != value:
                raise checks.invalid(f"Provider {name} does not support {flag}={router[flag]}")


def _new(tx: Tx, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is the cloud's belongs to no project."""
    return {**wanted, "project_id": "", "id": new_id(), "created_at": tx.now, "updated_at": tx.now}


def _driver(tx: Tx, flavor: Flavor) -> str:
    if not flavor.service_profiles:
        raise _unbound(flavor.id, "")
    profile = tx.get(ServiceProfile, flavor.service_profiles[0])
    assert profile is not None
    if not profile.enabled:
        raise Unavailable("Service Profile is not enabled.", "ServiceProfileDisabled")
    if profile.driver not in DRIVERS:
        raise _no_driver(profile.driver)
    return profile.driver


def _require_driver(driver: str) -> None:
    if driver and driver not in DRIVERS:
        raise _no_driver(driver)


def _no_driver(driver: str) -> NotFound:
    return NotFound(f"Service Profile driver {driver} could not be found.", "ServiceProfileDriverNotFound")


def _unused(tx: Tx, actor: Actor, id_: str, expected_revision: int | None) -> ServiceProfile:
    """Only operators see profiles, so nobody else gets any further."""
    profile = SERVICE_PROFILES.find(tx, actor, id_)
    require_revision(profile, expected_revision)
    # There are few flavors, and they change seldom.
    if any(id_ in flavor.service_profiles for flavor in tx.select(Flavor)):
        raise Conflict(f"Service Profile {id_} is used by some service instance.", "ServiceProfileInUse")
    return profile


def _require_bound(flavor: Flavor, id_: str) -> None:
    if id_ not in flavor.service_profiles:
        raise _unbound(flavor.id, id_)


def _unbound(flavor_id: str, id_: str) -> NotFound:
    return NotFound(
        f"Service Profile {id_} is not associated with flavor {flavor_id}.", "FlavorServiceProfileBindingNotFound"
    )
