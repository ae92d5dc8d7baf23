"""What of a record is kept, by column; older files may lack some, which are then null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from suimon.model.collectors import MappedPort
from suimon.model.records import Batch

COLUMNS: Final = {
    "begun_ms": "BIGINT",
    "duration_ms": "UINTEGER",
    "exporter": "VARCHAR",
    "ip_version": "UTINYINT",
    "protocol": "UTINYINT",
    "tcp_flags": "UTINYINT",
    "direction": "UTINYINT",
    "source_high": "UBIGINT",
    "source_low": "UBIGINT",
    "destination_high": "UBIGINT",
    "destination_low": "UBIGINT",
    "source_port": "USMALLINT",
    "destination_port": "USMALLINT",
    "packets": "UBIGINT",
    "bytes": "UBIGINT",
    "sampling": "UINTEGER",
    "input": "UINTEGER",
    "output": "UINTEGER",
    "source_mac": "UBIGINT",
    "destination_mac": "UBIGINT",
    "port_id": "VARCHAR",
    "project_id": "VARCHAR",
    "network_id": "VARCHAR",
    "host": "VARCHAR",
}
LABELS: Final = ("port_id", "project_id", "network_id", "host")
TEXTS: Final = ("exporter", *LABELS)
_MADE: Final = {"begun_ms", "duration_ms", *TEXTS}
_LATEST_MS: Final = 1 << 52
_LONGEST_MS: Final = (1 << 32) - 1


def numbers(batch: Batch) -> dict[str, Any]:
    """The columns that are numbers; `port` and `exporter` are indexes still."""
    begun_ms = np.clip(batch["begun"] * 1000, 0, _LATEST_MS)
    duration_ms = np.clip((batch["ended"] - batch["begun"]) * 1000, 0, _LONGEST_MS)
    plain = {name: batch[name] for name in (*(each for each in COLUMNS if each not in _MADE), "exporter", "port")}
    return {"begun_ms": begun_ms.astype(np.int64), "duration_ms": duration_ms.astype(np.uint32), **plain}


def labels(batch: Batch, ports: Sequence[MappedPort]) -> dict[str, Any]:
    """What those columns say for each port of the batch, by its index."""
    used = [int(each) for each in np.unique(batch["port"]) if each >= 0]
    told = [(ports[each].id, ports[each].project_id, ports[each].network_id, ports[each].host) for each in used]
    columns = zip(*told, strict=True) if told else [()] * len(LABELS)
    texts = {name: np.array(values, object) for name, values in zip(LABELS, columns, strict=True)}
    return {"port": np.array(used, np.int32), **texts}


def names(exporters: Sequence[str]) -> dict[str, Any]:
    """The table that `exporter` of a record is an index into."""
    return {"number": np.arange(len(exporters), dtype=np.uint32), "exporter": np.array(exporters, object)}
