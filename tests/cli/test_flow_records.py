"""`suimon flows search` and `top`: how what collectors found reads."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from suimon.cli import flow_records as module
from suimon.cli import main

TOTAL = {"records": 1, "packets": 8, "bytes": 480, "sampled": 1, "unscaled": 0}


def said(monkeypatch: pytest.MonkeyPatch, row: dict[str, Any], *words: str) -> list[list[str]]:
    monkeypatch.setattr(module, "call", lambda *_asked: {"flows": [row], "total": TOTAL, "missing": 0})
    result = CliRunner().invoke(main, ["flows", *words])
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.stdout.splitlines()]


def test_a_record_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {
        "begun_ms": 1_767_225_600_250, "source": "10.0.0.2", "source_port": 40000, "destination": "192.0.2.9",
        "destination_port": 25, "protocol": "tcp", "direction": "out", "packets": 1, "bytes": 60, "sampling": 8,
        "port_id": "p1",
    }  # fmt: skip
    titles, shown = said(monkeypatch, row, "search", "port", "p1")
    assert dict(zip(titles, shown, strict=True)) == {
        "BEGUN": "2026-01-01T00:00:00.250Z", "FROM": "10.0.0.2:40000", "TO": "192.0.2.9:25", "PROTOCOL": "tcp",
        "WAY": "out", "PACKETS": "1", "BYTES": "60", "SAMPLING": "1:8", "PORT": "p1",
    }  # fmt: skip


def test_what_has_no_address_is_summed_as_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, shown) = said(monkeypatch, {"source": "", "ip_version": 0, **TOTAL}, "top")
    assert shown == ["-", "1", "~8", "~480"]
