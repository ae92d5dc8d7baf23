"""How much of everything each project has: kept beside the rows, changed in the transactions that change those."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, text

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
    values: dict[str, str | int] = {}
    for n, (project_id, resource) in enumerate(ordered):
        values |= {f"p{n}": project_id, f"r{n}": resource, f"d{n}": differences[project_id, resource]}
    return [Used(*row) for row in prepared.rows(connection, _add(len(ordered)), values)]


@lru_cache(maxsize=64)
def _add(count: int) -> TextClause:
    rows = ", ".join(f"(:p{n}, :r{n}, :d{n})" for n in range(count))
    return text(
        f"INSERT INTO {QUOTAS.name} (project_id, resource, used) VALUES {rows} "  # noqa: S608 (only our own names)
        f"ON CONFLICT (project_id, resource) DO UPDATE SET used = {QUOTAS.name}.used + excluded.used "
        "RETURNING project_id, resource, used, most"
    )
