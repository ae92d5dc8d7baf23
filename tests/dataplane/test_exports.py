"""What is asked of the database so that br-int exports to a collector, and whose rows are left alone."""

from typing import Final

import pytest

from suimon.dataplane.exports import Export, export_changes, obstacle
from suimon.dataplane.mirror import EXPORTS, Mirror
from suimon.dataplane.ovsdb import RowUpdate

WANTED = Export("192.0.2.9:6343", "192.0.2.1", sampling=100)
IPFIX = Export("192.0.2.9:4739", protocol="ipfix")
NETFLOW = Export("192.0.2.9:2055", protocol="netflow")
NOBODY = ["map", []]
OURS = ["map", [["suimon-owner", "export/br-int"]]]
INPUT_ONLY = ["map", [["enable-output-sampling", "true"]]]
ROWS: Final = {
    "sFlow": {"targets": "192.0.2.9:6343", "agent": "192.0.2.1", "sampling": 100, "polling": 10, "header": 128},
    "IPFIX": {"targets": "192.0.2.9:4739", "sampling": 400, "cache_active_timeout": 10, "cache_max_flows": 65536}
    | {"other_config": INPUT_ONLY},
    "NetFlow": {"targets": "192.0.2.9:2055", "active_timeout": 10},
}
"""As the three above are in the database."""


def held(table: str, mark: object = None, **other: object) -> Mirror:
    """A bridge; with a mark, its row as in ROWS, but for `other` columns."""
    mirror = Mirror()
    bridge: dict[str, object] = {"name": "br-int"}
    row = {**ROWS[table], "external_ids": mark, **other}
    if mark:
        bridge[EXPORTS[table]] = ["uuid", "s"]
        mirror.update({table: {"s": RowUpdate(new=row)}})
    mirror.update({"Bridge": {"b": RowUpdate(new=bridge)}})
    return mirror


@pytest.mark.parametrize(
    ("mirror", "wanted", "acts"),
    [
        (held("sFlow"), None, []),
        (held("sFlow"), WANTED, ["insert sFlow", "update Bridge"]),
        (held("sFlow", OURS), WANTED, []),
        (held("sFlow", OURS), None, ["update Bridge"]),
        (held("sFlow", OURS, sampling=400), WANTED, ["update sFlow"]),
        (held("sFlow", OURS, targets=["set", ["192.0.2.9:6343", "192.0.2.8:6343"]]), WANTED, ["update sFlow"]),
        (held("sFlow", OURS, agent=["set", []]), WANTED, ["update sFlow"]),
        (held("sFlow", NOBODY, sampling=7), WANTED, []),
        (held("sFlow", NOBODY), None, []),
        (held("sFlow", OURS), IPFIX, ["update Bridge", "insert IPFIX", "update Bridge"]),
        (held("sFlow", NOBODY), NETFLOW, ["insert NetFlow", "update Bridge"]),
        (held("IPFIX", OURS), IPFIX, []),
        (held("IPFIX", OURS, cache_max_flows=["set", []]), IPFIX, ["update IPFIX"]),
        (held("IPFIX", OURS, other_config=NOBODY), IPFIX, ["update IPFIX"]),
        (held("NetFlow", OURS), NETFLOW, []),
        (held("NetFlow", OURS, active_timeout=0), NETFLOW, ["update NetFlow"]),
    ],
)
def test_only_what_differs_and_is_ours_is_written(mirror: Mirror, wanted: Export | None, acts: list[str]) -> None:
    assert [f"{each['op']} {each['table']}" for each in export_changes("br-int", wanted, mirror)] == acts


@pytest.mark.parametrize("wanted", [WANTED, IPFIX, NETFLOW])
def test_a_row_is_marked_when_it_is_made(wanted: Export) -> None:
    made = next(export_changes("br-int", wanted, Mirror()))
    assert made["row"] == {**ROWS[made["table"]], "external_ids": OURS}


def test_somebody_else_s_is_told() -> None:
    assert "clear bridge br-int sflow" in obstacle("br-int", WANTED, held("sFlow", NOBODY))
    assert "clear bridge br-int ipfix" in obstacle("br-int", IPFIX, held("IPFIX", NOBODY))
    assert not obstacle("br-int", IPFIX, held("sFlow", NOBODY))
    assert not obstacle("br-int", WANTED, held("sFlow", OURS))
    assert not obstacle("br-int", None, held("sFlow", NOBODY))
