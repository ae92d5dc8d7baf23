"""What ports and exporters of records are called, lot by lot."""

import numpy as np

from suimon.model.collectors import MappedPort
from suimon.model.records import batch_of
from suimon.telemetry.history.columns import LABELS, Texts, stored
from suimon.telemetry.history.engine import Lot
from suimon.telemetry.history.parquet import Coded


def cloud(name: str) -> tuple[MappedPort, ...]:
    return tuple(
        MappedPort(f"{name}-{n}", f"project-{n % 3}", f"network-{n % 5}", f"host-{n % 2}", "192.0.2.1", n, "", ())
        for n in range(20)
    )


def called(texts: Texts, ports: tuple[MappedPort, ...], used: list[int], exporters: tuple[str, ...]) -> list[int]:
    """Whether all are called what they are; how many different texts each label has."""
    batch = batch_of(len(used))
    batch["port"], batch["exporter"] = used, np.arange(len(used)) % len(exporters)
    (columns,) = stored(Lot((batch[:1], batch[1:]), ports, exporters, 0.0), texts, 1000)

    def read(name: str) -> list[str | None]:
        column = columns[name]
        assert isinstance(column, Coded)
        return [None if at < 0 else column.known.texts[at] for at in column.which.tolist()]

    attributes = {"port_id": "id"}
    for name in LABELS:
        attribute = attributes.get(name, name)
        assert read(name) == [None if port < 0 else getattr(ports[port], attribute) for port in used]
    assert read("exporter") == [exporters[n % len(exporters)] for n in range(len(used))]
    return [len(column.known) for column in (columns[name] for name in LABELS) if isinstance(column, Coded)]


def test_records_are_called_what_they_are_lot_after_lot() -> None:
    texts, one, other, at = Texts(), cloud("one"), cloud("other"), ("192.0.2.1", "192.0.2.2")
    few = [*range(10)]
    assert called(texts, one, [-1, 0, -1], at) == [1, 1, 1, 1]
    assert called(texts, one, [-1, *few], at) == [10, 3, 5, 2]
    assert called(texts, one, [5, 4, 3, 2, 1, 5], at) == [10, 3, 5, 2], "those of the lot before are known"
    assert called(texts, one, [*few, 10], at[:1]) == [11, 3, 5, 2]
    assert called(texts, one, [7, 8], (*at, "192.0.2.3")) == [2, 2, 2, 2], "what is hardly used any more is not kept"
    assert called(texts, other, [7, 8], at) == [2, 2, 2, 2]
    assert called(texts, one, [7, 8], at) == [2, 2, 2, 2]
    assert called(texts, (), [-1], at) == [0, 0, 0, 0]
