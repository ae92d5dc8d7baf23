"""How much of everything each project has: kept beside the rows, changed in the transactions that change those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from suimon.store import prepared
from suimon.store.tables import QUOTAS


class Used(NamedTuple):
    """What a project has of something now; `most` is its own limit, if it has one."""

    project_id: str
    resource: str
    used: int
    most: int | None


def add(connection: Connection, differences: Mapping[tuple[str, str], int]) -> list[Used]:
    """Adds each (project, resource)'s difference, in one statement. In order, so that no two writers wait for each
    other.
    """
    ordered = sorted(differences)
    text = (
        f"INSERT INTO {QUOTAS.name} (project_id, resource, used) VALUES {prepared.places(len(ordered), 3)} "  # noqa: S608 (only our own names)
        f"ON CONFLICT (project_id, resource) DO UPDATE SET used = {QUOTAS.name}.used + excluded.used "
        "RETURNING project_id, resource, used, most"
    )
    values = [value for key in ordered for value in (*key, differences[key])]
    return [Used(*row) for row in prepared.rows_of_text(connection, text, values)]
