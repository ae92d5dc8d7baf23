"""`suimon collector`: what it refuses before it begins."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from suimon.cli.collector import collector
from suimon.telemetry.port_map import Identity


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("--clickhouse", "http://me:hush@192.0.2.7"), "others see arguments"),
        (("--clickhouse", "192.0.2.7:8123"), "no URL of ClickHouse"),
        (("--thresholds", "long"), "--thresholds long: line 1"),
        (("--clickhouse", "http://192.0.2.7", "--clickhouse-password-file", "missing"), "No such file"),
        (("--clickhouse", "http://192.0.2.7", "--clickhouse-password-file", "long"), "one line of ASCII"),
    ],
)
def test_a_server_that_cannot_be_meant_is_refused(
    said: tuple[str, ...], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "identity.json").write_bytes(msgspec.json.encode(Identity("flows-1", "http://192.0.2.1", "c", "k")))
    (tmp_path / "long").write_text("hush\nhush")
    listen = ("--flows", "127.0.0.1:0", "--listen", "127.0.0.1:1")
    done = CliRunner().invoke(collector, ["--state", str(tmp_path), *listen, *said])
    assert done.exit_code == 1 and reason in done.output and "hush" not in done.output
