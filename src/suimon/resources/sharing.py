"""Who may see what isn't his: the RBAC entries of an object, in conditions and in what is shown of it.

`kind` is the RBAC object type (`network`, `qos_policy`, `security_group`, `address_group`, `address_scope`,
`subnetpool`). What everybody may see has an entry for `*`. Where a function takes `of`, that is the table of the
objects, or the column of another table that names one (a subnet's network).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ColumnElement, Table, or_, select, true

from suimon.model import checks
from suimon.model.things import RbacPolicy, Thing
from suimon.resources.collection import VIEWER, Extra
from suimon.resources.ids import new_id
from suimon.store.tables import RBAC_POLICIES
from suimon.store.tx import Tx

AS_SHARED: Final = "access_as_shared"
AS_EXTERNAL: Final = "access_as_external"
EVERYBODY: Final = "*"


def shared(kind: str, of: Table | Column[str], *actions: str) -> ColumnElement[bool]:
    """Whether an object is shared with `VIEWER`, for one of the actions (as shared, when none is named)."""
    entries = select(RBAC_POLICIES.c.object_id).where(
        RBAC_POLICIES.c.target_project.in_([VIEWER, EVERYBODY]),
        RBAC_POLICIES.c.object_type == kind,
        RBAC_POLICIES.c.action.in_(actions or (AS_SHARED,)),
    )
    return (of.c.id if isinstance(of, Table) else of).in_(entries)


def visible(kind: str, table: Table, *actions: str) -> ColumnElement[bool]:
    """Whether `VIEWER`, who is no admin, sees a row: his own, and what is shared with him."""
    return or_(table.c.project_id == VIEWER, shared(kind, table, *actions))


def shared_extra(kind: str, table: Table) -> Extra:
    """`shared` as it is for who asks, beside the row."""
    return Extra(shared(kind, table), lambda _, value: {"shared": bool(value)}, of=())


def by_shared(kind: str, of: Table | Column[str], texts: list[str]) -> ColumnElement[bool]:
    """The special filter `shared=`."""
    wanted = {checks.boolean(text) for text in texts}
    condition = shared(kind, of)
    if len(wanted) == 2:
        return true()
    return condition if True in wanted else ~condition


def share_with_all(tx: Tx, kind: str, thing: Thing, action: str = AS_SHARED) -> None:
    """The entry that lets everybody see it, if there is none yet."""
    if EVERYBODY not in shared_with(tx, thing.id, action):
        tx.insert(
            RbacPolicy(
                id=new_id(),
                project_id=thing.project_id,
                object_type=kind,
                object_id=thing.id,
                action=action,
                target_project=EVERYBODY,
                created_at=tx.now,
                updated_at=tx.now,
            )
        )


def shared_with(tx: Tx, object_id: str, action: str = AS_SHARED) -> set[str]:
    """The projects, or `*`, that an object is shared with."""
    return {entry.target_project for entry in tx.select(RbacPolicy, {"object_id": object_id, "action": action})}


def unshare(tx: Tx, object_id: str, action: str = AS_SHARED, target_project: str | None = EVERYBODY) -> None:
    """Take back the entry for this project, or (None) all of the action: nobody's use of it is looked at."""
    where = {"object_id": object_id, "action": action}
    tx.delete_many(
        tx.select(RbacPolicy, where if target_project is None else {**where, "target_project": target_project})
    )


def forget(tx: Tx, object_id: str) -> None:
    """The object goes, and its entries with it."""
    tx.delete_many(tx.select(RbacPolicy, {"object_id": object_id}))
