"""What of a record is kept, by column; older files may lack some, which are then null."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.collectors import MappedPort
from suimon.model.records import pieces
from suimon.telemetry.history.engine import Lot
from suimon.telemetry.history.pages import mark, times
from suimon.telemetry.history.parquet import Coded, Column, Known

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


def stored(lot: Lot, texts: Texts, most_rows: int) -> Iterator[dict[str, Column]]:
    """All columns, of so many records at a time: all in one would be memory that the kernel has to clear."""
    called = texts.of(lot)
    for batch in pieces(lot.batches, most_rows):
        made: dict[str, Column] = {
            name: Coded(*text, batch["port" if name in LABELS else name]) for name, text in called.items()
        }
        made["begun_ms"], made["duration_ms"] = times(batch["begun"], batch["ended"], _LATEST_MS, _LONGEST_MS)
        yield {name: made[name] if name in made else batch[name] for name in COLUMNS}


class Texts:
    """What exporters and ports are called, for `Coded`. Ports that no record is of are not asked; most lots are of
    nearly the same ports as the one before, and then have its tables.
    """

    def __init__(self) -> None:
        self._ports: Sequence[MappedPort] = ()
        self._used = np.zeros(0, bool)
        self._of_ports = _tables((), self._used)
        self._exporters = Known(())

    def of(self, lot: Lot) -> dict[str, tuple[Known, NDArray[np.int32]]]:
        used = np.zeros(len(lot.ports), bool)
        for batch in lot.batches:
            mark(batch["port"], used)
        if lot.ports is not self._ports or (used & ~self._used).any() or 2 * used.sum() < self._used.sum():
            self._ports, self._used, self._of_ports = lot.ports, used, _tables(lot.ports, used)
        if lot.exporters != self._exporters.texts:
            self._exporters = Known(lot.exporters)
        return {"exporter": (self._exporters, np.arange(len(lot.exporters), dtype=np.int32)), **self._of_ports}


def _tables(ports: Sequence[MappedPort], used: NDArray[np.bool_]) -> dict[str, tuple[Known, NDArray[np.int32]]]:
    """By label: the different texts of those ports, and which of them each port has."""
    places = np.flatnonzero(used)
    these = [ports[each] for each in places.tolist()]
    of_ports = {
        "port_id": [each.id for each in these],
        "project_id": [each.project_id for each in these],
        "network_id": [each.network_id for each in these],
        "host": [each.host for each in these],
    }
    made = {}
    for name, said in of_ports.items():
        numbers = {text: number for number, text in enumerate(dict.fromkeys(said))}
        table = np.full(int(places[-1]) + 1 if len(places) else 0, -1, np.int32)
        table[places] = [numbers[text] for text in said]
        made[name] = Known(tuple(numbers)), table
    return made
