"""What brought a thing is found by its id, however long the log is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from suimon.distribution import provenance
from suimon.store.store import Store, StoreConfig
from suimon.store.tx import Tx


@pytest.mark.parametrize(
    "statement, values",
    [(provenance._CHANGES, {"ids": ["one"]}), (provenance._WANTED, {"id": "one", "scope": "host:h"})],
)
def test_the_log_is_not_looked_through(tmp_path: Path, statement: Any, values: dict[str, Any]) -> None:
    def plan(tx: Tx) -> list[str]:
        sql = statement.params(values).compile(compile_kwargs={"literal_binds": True})
        return [str(tuple(row)[3]) for row in tx.rows(text(f"EXPLAIN QUERY PLAN {sql}"), {})]

    store = Store(StoreConfig(url=f"sqlite:///{tmp_path / 'suimon.db'}"))
    store.open()
    try:
        steps = asyncio.run(store.read(plan))
    finally:
        store.close()
    assert any(step.startswith("SEARCH changes") for step in steps), steps
    assert not any(step.startswith("SCAN changes") for step in steps), steps
