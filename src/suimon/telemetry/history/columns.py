"""What of a record is kept, by column; older files may lack some, which are then null."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.records import pieces
from suimon.telemetry.history.engine import Lot
from suimon.telemetry.history.pages import times
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
_LATEST_MS: Final = 1 << 52
_LONGEST_MS: Final = (1 << 32) - 1


def stored(lot: Lot, most_rows: int) -> Iterator[dict[str, Column]]:
    """All columns, of so many records at a time: all in one would be memory that the kernel has to clear."""
    texts = _texts(lot)
    for batch in pieces(lot.batches, most_rows):
        made: dict[str, Column] = {
            name: Coded(*text, batch["port" if name in LABELS else name]) for name, text in texts.items()
        }
        made["begun_ms"], made["duration_ms"] = times(batch["begun"], batch["ended"], _LATEST_MS, _LONGEST_MS)
        yield {name: made[name] if name in made else batch[name] for name in COLUMNS}


def _texts(lot: Lot) -> dict[str, tuple[Sequence[str], NDArray[np.int32]]]:
    """What exporters and ports are called, for `Coded`; ports that no record is of are not asked."""
    counts = np.zeros(len(lot.ports), np.int64)
    for batch in lot.batches:
        port = batch["port"]
        counts += np.bincount(port[port >= 0], minlength=len(counts))
    used = np.flatnonzero(counts)
    ports = [lot.ports[each] for each in used.tolist()]
    of_ports = {
        "port_id": [each.id for each in ports],
        "project_id": [each.project_id for each in ports],
        "network_id": [each.network_id for each in ports],
        "host": [each.host for each in ports],
    }
    every = np.arange(len(lot.exporters), dtype=np.int32)
    made: dict[str, tuple[Sequence[str], NDArray[np.int32]]] = {"exporter": (lot.exporters, every)}
    for name, said in of_ports.items():
        places = {text: number for number, text in enumerate(dict.fromkeys(said))}
        table = np.full(int(used[-1]) + 1 if len(used) else 0, -1, np.int32)
        table[used] = [places[text] for text in said]
        made[name] = tuple(places), table
    return made
