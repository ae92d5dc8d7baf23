"""What of a record is kept, by column; older files may lack some, which are then null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.collectors import MappedPort
from suimon.model.records import Batch
from suimon.telemetry.history.parquet import Coded, Column

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
    plain = [*(each for each in COLUMNS if each not in _MADE), "exporter", "port"]
    begun, ended = batch["begun"], batch["ended"]
    begun_ms = np.clip(begun * 1000, 0, _LATEST_MS).astype(np.int64)
    duration_ms = np.clip((ended - begun) * 1000, 0, _LONGEST_MS).astype(np.uint32)
    return {"begun_ms": begun_ms, "duration_ms": duration_ms, **{name: batch[name] for name in plain}}


def labels(port: NDArray[np.int32], ports: Sequence[MappedPort]) -> dict[str, Any]:
    """What those columns say for each port that is there, by its index."""
    used = np.flatnonzero(np.bincount(port[port >= 0])).tolist()
    told = [(ports[each].id, ports[each].project_id, ports[each].network_id, ports[each].host) for each in used]
    columns = zip(*told, strict=True) if told else [()] * len(LABELS)
    texts = {name: np.array(values, object) for name, values in zip(LABELS, columns, strict=True)}
    return {"port": np.array(used, np.int32), **texts}


def stored(batch: Batch, ports: Sequence[MappedPort], exporters: Sequence[str]) -> dict[str, Column]:
    """The columns of records whose `port` and `exporter` are indexes into those."""
    told: dict[str, Column] = {**numbers(batch)}
    port, exporter = (np.asarray(told.pop(name)) for name in ("port", "exporter"))
    told["exporter"] = Coded(exporters, np.where(exporter < len(exporters), exporter, -1).astype(np.int64))
    texts = labels(port, ports)
    used = texts.pop("port")
    for name, each in texts.items():
        places = {text: number for number, text in enumerate(dict.fromkeys(each.tolist()))}
        # Its last is what -1 finds.
        place = np.full(len(ports) + 1, -1, np.int64)
        place[used] = [places[text] for text in each.tolist()]
        told[name] = Coded(tuple(places), place[port])
    return told
