"""What engines are told, read from the store."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from sqlalchemy import bindparam, select

from suimon.enforcement.scope import FACT_TYPES, Key
from suimon.model import fact_tables
from suimon.model.identity import RoleAssignment
from suimon.model.policies import Clause, Policy
from suimon.resources.fact_tables import told_tables
from suimon.store.tables import KEPT, RBAC_POLICIES
from suimon.store.tx import Tx

POLICY_TYPES: Final[dict[str, type[msgspec.Struct]]] = {"policy": Policy, "clause": Clause}
_SHARED_KINDS: Final = frozenset({"network", "group", "address_scope", "subnetpool", "qos"})
"""Those whose rows say so."""
_SHARED: Final = select(RBAC_POLICIES.c.object_id).where(
    RBAC_POLICIES.c.action == bindparam("action"), RBAC_POLICIES.c.target_project == bindparam("everybody")
)
_SHARED_OF: Final = _SHARED.where(RBAC_POLICIES.c.object_id.in_(bindparam("ids", expanding=True)))
_BY_EVERYBODY: Final = {"action": "access_as_shared", "everybody": "*"}


def read(tx: Tx, keys: Collection[Key]) -> dict[Key, msgspec.Struct | None]:
    """What these are as the transaction sees them; None: there is no such thing."""
    found: dict[Key, msgspec.Struct | None] = dict.fromkeys(keys)
    by_kind: dict[str, list[str]] = {}
    for kind, id_ in keys:
        by_kind.setdefault(kind, []).append(id_)
    if tables := by_kind.pop(fact_tables.KIND, None):
        found |= {(fact_tables.KIND, id_): told for id_, told in told_tables(tx, tables).items()}
    for kind, ids in by_kind.items():
        type_ = FACT_TYPES.get(kind) or POLICY_TYPES[kind]
        if type_ is RoleAssignment:
            for id_ in ids:
                where = dict(zip(RoleAssignment.__struct_fields__, id_.split("/"), strict=True))
                found[kind, id_] = next(iter(tx.select(RoleAssignment, where)), None)
        elif len(ids) == 1:
            found[kind, ids[0]] = tx.get(type_, ids[0])
        else:
            name = KEPT[type_].key[0]
            for thing in tx.select(type_, {name: ids}):
                found[kind, getattr(thing, name)] = thing
    return found


def shared(tx: Tx, keys: Collection[Key]) -> frozenset[str]:
    """Which ids of these everybody may see."""
    ids = [id_ for kind, id_ in keys if kind in _SHARED_KINDS]
    return frozenset(row[0] for row in tx.rows(_SHARED_OF, {**_BY_EVERYBODY, "ids": ids})) if ids else frozenset()


def all_shared(tx: Tx) -> frozenset[str]:
    """What everybody may see."""
    return frozenset(row[0] for row in tx.rows(_SHARED, _BY_EVERYBODY))
