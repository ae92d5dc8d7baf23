"""Address groups: sets of prefixes for security group rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.checks import Unfit, having, parse_cidr, schema_of, takes
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.specs.address_groups import ADDRESS_GROUP, MAX_ADDRESSES, addresses
from suimon.model.things import AddressGroup, SecurityGroupRule
from suimon.resources import sharing
from suimon.resources.collection import Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require, require_act
from suimon.store.tables import ADDRESS_GROUPS as TABLE
from suimon.store.tx import Tx

SPEC: Final = ADDRESS_GROUP.governed_by(RULES)
KIND: Final = "address_group"
_ADDRESSES: Final = having({"addresses": schema_of(addresses)}, "addresses")
ADDRESS_GROUPS: Final = Collection(
    spec=SPEC,
    type=AddressGroup,
    not_found=("AddressGroupNotFound", "Address group {} could not be found."),
    visible=sharing.visible(KIND, TABLE),
)


def create_address_groups(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[AddressGroup]:
    """All or none. Raises Forbidden."""
    for one in wanted:
        require_act(actor, "create_address_group", SPEC, one, Target(one["project_id"]))
    groups = [AddressGroup(id=new_id(), created_at=tx.now, updated_at=tx.now, **one) for one in wanted]
    tx.insert_many(groups)
    return groups


def update_address_group(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> AddressGroup:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    group = _own(tx, actor, id_)
    require_act(actor, "update_address_group", SPEC, wanted, Target(group.project_id))
    require_revision(group, expected_revision)
    return tx.change(group, **wanted) if wanted else group


def delete_address_group(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed, Conflict while a rule names it."""
    group = _own(tx, actor, id_)
    require_act(actor, "delete_address_group", SPEC, {}, Target(group.project_id))
    require_revision(group, expected_revision)
    if tx.select(SecurityGroupRule, {"remote_address_group_id": id_}, limit=1):
        raise Conflict(f"Address group {id_} is in use on one or more security group rules.", "AddressGroupInUse")
    sharing.forget(tx, id_)
    tx.delete(group)


@takes(_ADDRESSES)
def add_addresses(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """`{"addresses": […]}` → the group. Raises NotFound, Forbidden, BadRequest also for one that is in it."""
    group, given = _asked(tx, actor, id_, body, "add_addresses")
    if known := [one for one in given if one in group.addresses]:
        raise BadRequest(f"Addresses {known} already exist in the address group {id_}.", "AddressesAlreadyExist")
    if len(group.addresses) + len(given) > MAX_ADDRESSES:
        raise BadRequest(f"{MAX_ADDRESSES} addresses at most can be in an address group.")
    changed = tx.change(group, addresses=(*group.addresses, *given))
    return {SPEC.singular: SPEC.render(changed, actor)}


@takes(_ADDRESSES)
def remove_addresses(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """`{"addresses": […]}` → the group. Raises BadRequest, Forbidden, NotFound also for one that isn't in it."""
    group, given = _asked(tx, actor, id_, body, "remove_addresses")
    if unknown := [one for one in given if one not in group.addresses]:
        raise NotFound(f"Addresses {unknown} not found in the address group {id_}.", "AddressesNotFound")
    changed = tx.change(group, addresses=tuple(one for one in group.addresses if one not in given))
    return {SPEC.singular: SPEC.render(changed, actor)}


def _own(tx: Tx, actor: Actor, id_: str) -> AddressGroup:
    """The group, for a change. Raises NotFound for one of another project's, also if it is shared: so does Neutron."""
    group = ADDRESS_GROUPS.find(tx, actor, id_)
    if not actor.admin and group.project_id != actor.project_id:
        raise ADDRESS_GROUPS.missing(id_)
    return group


def _asked(tx: Tx, actor: Actor, id_: str, body: object, act: str) -> tuple[AddressGroup, tuple[str, ...]]:
    """The group, and the prefixes of the body; an address without a length is one alone."""
    group = _own(tx, actor, id_)
    require(actor, act, Target(group.project_id))
    given = body.get("addresses") if isinstance(body, dict) else None
    if not isinstance(given, list) or len(given) > MAX_ADDRESSES:
        raise BadRequest("Invalid input for addresses. Reason: Request body contains invalid data.")
    try:
        found = [_prefix(item) for item in given]
    except Unfit as unfit:
        raise BadRequest(f"Invalid input for addresses. Reason: {unfit}.") from None
    return group, tuple(dict.fromkeys(found))


def _prefix(item: object) -> str:
    alone = isinstance(item, str) and "/" not in item
    return str(parse_cidr(f"{item}/{128 if ':' in str(item) else 32}" if alone else item))
