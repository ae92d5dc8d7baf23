"""Stored records as they were when they came: a batch, and the ports that it points into."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import duckdb
import numpy as np

from suimon.model.records import Batch, batch_of
from suimon.telemetry.history.segments import files_of

_PLAIN: Final = (
    *("ip_version", "protocol", "tcp_flags", "direction", "source_high", "source_low", "destination_high"),
    *("destination_low", "source_port", "destination_port", "packets", "bytes", "sampling"),
)


class StoredPort(NamedTuple):
    """Whose a record was when it was stored."""

    id: str
    project_id: str | None


class CaptureError(Exception):
    """The file can't be read as records; str() says why."""


def capture(path: Path) -> tuple[Batch, list[StoredPort]]:
    """The records of a Parquet file of the history, or of a folder of them, as a collector's. Raises CaptureError."""
    kept = files_of(path) if (path / "hours").is_dir() else path.rglob("*.parquet")
    files = sorted(map(str, kept)) if path.is_dir() else [str(path)]
    wanted = ", ".join(("begun_ms", "duration_ms", "port_id", "project_id", *_PLAIN))
    try:
        with duckdb.connect() as connection:
            told = connection.execute(f"SELECT {wanted} FROM read_parquet(?, union_by_name => true)", [files])  # noqa: S608
            columns = told.fetchnumpy()
    except duckdb.Error as error:
        raise CaptureError(str(error).splitlines()[0]) from error
    batch = batch_of(len(columns["begun_ms"]))
    batch["begun"] = np.ma.filled(columns["begun_ms"], 0) / 1000
    batch["ended"] = batch["begun"] + np.ma.filled(columns["duration_ms"], 0) / 1000
    for name in _PLAIN:
        batch[name] = np.ma.filled(columns[name], 0)
    ids, projects = (np.ma.filled(columns[name], "") for name in ("port_id", "project_id"))
    known, first, inverse = np.unique(ids.astype(str), return_index=True, return_inverse=True)
    batch["port"] = np.where(known[inverse] == "", -1, inverse) if len(batch) else -1
    return batch, [
        StoredPort(str(name), str(projects[at]) or None) for name, at in zip(known, first.tolist(), strict=True)
    ]
