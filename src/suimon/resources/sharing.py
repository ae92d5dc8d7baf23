"""Who may see what isn't his: the RBAC entries of an object, in conditions and in what is shown of it.

`kind` is the RBAC object type (`network`, `qos_policy`, `security_group`, `address_group`, `address_scope`,
`subnetpool`). What everybody may see has an entry for `*`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Table, and_, or_, select

from suimon.model.things import RbacPolicy, Thing
from suimon.resources.collection import VIEWER, Extra
from suimon.resources.ids import new_id
from suimon.store.tables import RBAC_POLICIES
from suimon.store.tx import Tx

AS_SHARED: Final = "access_as_shared"
AS_EXTERNAL: Final = "access_as_external"
EVERYBODY: Final = "*"


def shared(kind: str, table: Table, action: str = AS_SHARED) -> ColumnElement[bool]:
    """Whether a row is shared with `VIEWER`."""
    entries = select(RBAC_POLICIES.c.object_id).where(
        RBAC_POLICIES.c.target_project.in_([VIEWER, EVERYBODY]),
        RBAC_POLICIES.c.object_type == kind,
        RBAC_POLICIES.c.action == action,
    )
    return table.c.id.in_(entries)


def visible(kind: str, table: Table) -> ColumnElement[bool]:
    """Whether `VIEWER`, who is no admin, sees a row: his own, and what is shared with him."""
    return or_(table.c.project_id == VIEWER, shared(kind, table))


def shared_extra(kind: str, table: Table) -> Extra:
    """`shared` as it is for who asks, beside the row."""
    return Extra(shared(kind, table), lambda _, value: {"shared": bool(value)})


def by_shared(kind: str, table: Table, texts: list[str]) -> ColumnElement[bool]:
    """The special filter `shared=`."""
    from suimon.model import checks

    wanted = {checks.boolean(text) for text in texts}
    condition = shared(kind, table)
    return and_(*([] if len(wanted) == 2 else [condition if True in wanted else ~condition]))


def share_with_all(tx: Tx, kind: str, thing: Thing, action: str = AS_SHARED) -> None:
    """The entry that lets everybody see it, if there is none yet."""
    where = {"object_id": thing.id, "action": action, "target_project": EVERYBODY}
    if not tx.select(RbacPolicy, where, limit=1):
        tx.insert(
            RbacPolicy(
                id=new_id(),
                project_id=thing.project_id,
                object_type=kind,
                created_at=tx.now,
                updated_at=tx.now,
                **where,
            )
        )
