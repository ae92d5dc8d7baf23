"""What is asked of the database so that br-int exports to a collector, and whose rows are left alone."""

import pytest

from suimon.dataplane.exports import Export, export_changes, obstacle
from suimon.dataplane.mirror import Mirror
from suimon.dataplane.ovsdb import RowUpdate

WANTED = Export("192.0.2.9:6343", "192.0.2.1", sampling=100)
NOBODY = ["map", []]
OURS = ["map", [["suimon-owner", "export/br-int"]]]


def held(mark: object = None, **other: object) -> Mirror:
    """A bridge; with a mark, its sFlow as WANTED, but for `other` columns."""
    mirror = Mirror()
    columns: dict[str, object] = {"targets": "192.0.2.9:6343", "agent": "192.0.2.1", "external_ids": mark}
    columns |= {"sampling": 100, "polling": 10, "header": 128, **other}
    bridge = {"name": "br-int", "sflow": ["uuid", "s"] if mark else ["set", []]}
    mirror.update(
        {"Bridge": {"b": RowUpdate(new=bridge)}, **({"sFlow": {"s": RowUpdate(new=columns)}} if mark else {})}
    )
    return mirror


@pytest.mark.parametrize(
    ("mirror", "wanted", "acts"),
    [
        (held(), None, []),
        (held(), WANTED, ["insert sFlow", "update Bridge"]),
        (held(OURS), WANTED, []),
        (held(OURS), None, ["update Bridge"]),
        (held(OURS, sampling=400), WANTED, ["update sFlow"]),
        (held(OURS, targets=["set", ["192.0.2.9:6343", "192.0.2.8:6343"]]), WANTED, ["update sFlow"]),
        (held(OURS, agent=["set", []]), WANTED, ["update sFlow"]),
        (held(NOBODY, sampling=7), WANTED, []),
        (held(NOBODY), None, []),
    ],
)
def test_only_what_differs_and_is_ours_is_written(mirror: Mirror, wanted: Export | None, acts: list[str]) -> None:
    assert [f"{each['op']} {each['table']}" for each in export_changes("br-int", wanted, mirror)] == acts


def test_a_row_is_marked_when_it_is_made() -> None:
    made = next(export_changes("br-int", WANTED, Mirror()))
    assert made["row"]["external_ids"] == OURS


def test_somebody_else_s_is_told() -> None:
    assert "not ours" in obstacle("br-int", WANTED, held(NOBODY))
    assert not obstacle("br-int", WANTED, held(OURS))
    assert not obstacle("br-int", None, held(NOBODY))
