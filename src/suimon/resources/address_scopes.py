"""Address scopes: the subnet pools in one never overlap, so that their subnets may be routed to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.address_scopes import ADDRESS_SCOPE
from suimon.model.things import AddressScope, SubnetPool
from suimon.resources import sharing
from suimon.resources.collection import Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.store.tables import ADDRESS_SCOPES as TABLE
from suimon.store.tx import Tx

SPEC: Final = ADDRESS_SCOPE.governed_by(RULES)
KIND: Final = "address_scope"
ADDRESS_SCOPES: Final = Collection(
    spec=SPEC,
    type=AddressScope,
    not_found=("AddressScopeNotFound", "Address scope {} could not be found."),
    visible=sharing.visible(KIND, TABLE),
    extras=(sharing.shared_extra(KIND, TABLE),),
    special={"shared": lambda texts: sharing.by_shared(KIND, TABLE, texts)},
)


def create_address_scopes(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[AddressScope]:
    """All or none. Raises Forbidden."""
    scopes = []
    for one in wanted:
        require_act(actor, "create_address_scope", SPEC, one, Target(one["project_id"]))
        values = {name: value for name, value in one.items() if name != "shared"}
        scopes.append(AddressScope(id=new_id(), created_at=tx.now, updated_at=tx.now, **values))
    tx.insert_many(scopes)
    for scope, one in zip(scopes, wanted, strict=True):
        if one["shared"]:
            sharing.share_with_all(tx, KIND, scope)
    return scopes


def update_address_scope(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> AddressScope:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest for taking back what everybody sees."""
    scope = ADDRESS_SCOPES.find(tx, actor, id_)
    require_act(actor, "update_address_scope", SPEC, wanted, Target(scope.project_id))
    require_revision(scope, expected_revision)
    values = {name: value for name, value in wanted.items() if name != "shared"}
    if wanted.get("shared"):
        sharing.share_with_all(tx, KIND, scope)
    elif "shared" in wanted and sharing.EVERYBODY in sharing.shared_with(tx, id_):
        raise BadRequest(
            f"Unable to update address scope {id_} : Shared address scope can't be unshared.", "AddressScopeUpdateError"
        )
    return tx.change(scope, **values) if values else scope


def delete_address_scope(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed, Conflict while a subnet pool is in it."""
    scope = ADDRESS_SCOPES.find(tx, actor, id_)
    require_act(actor, "delete_address_scope", SPEC, {}, Target(scope.project_id))
    require_revision(scope, expected_revision)
    if tx.select(SubnetPool, {"address_scope_id": id_}, limit=1):
        raise Conflict(
            f"Unable to complete operation on address scope {id_}. There are one or more subnet pools in use on the "
            "address scope.",
            "AddressScopeInUse",
        )
    sharing.forget(tx, id_)
    tx.delete(scope)
