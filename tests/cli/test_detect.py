"""`suimon detect replay` over records as the history keeps them."""

from pathlib import Path

import duckdb
import msgspec
import pytest
from click.testing import CliRunner

from suimon.cli import main
from suimon.model.findings import Finding
from suimon.model.records import Batch
from suimon.telemetry.history.columns import COLUMNS
from tests.detection.attacks import spam, udp_flood_out
from tests.detection.traffic import Life, records


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    life = Life(16.0)
    _write(folder / "one.parquet", records(spam(life, 0)))
    _write(folder / "two.parquet", records(udp_flood_out(life, 1)))
    return folder


def _write(path: Path, batch: Batch) -> None:
    names = ("ip_version", "protocol", "tcp_flags", "direction", "packets", "bytes", "sampling")
    sides = [f"{side}_{what}" for side in ("source", "destination") for what in ("high", "low", "port")]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE r ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        columns = ("begun_ms", "duration_ms", "port_id", "project_id", *names, *sides)
        rows = [
            (
                *(int(each["begun"] * 1000), int((each["ended"] - each["begun"]) * 1000)),
                *(f"port-{each['port']}", "project"),
                *(int(each[name]) for name in (*names, *sides)),
            )
            for each in batch[:2000].rows()
        ]
        marks = ", ".join("?" * len(columns))
        connection.executemany(f"INSERT INTO r ({', '.join(columns)}) VALUES ({marks})", rows)
        connection.execute(f"COPY r TO '{path}' (FORMAT parquet)")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["detect", "replay", *arguments])
    return result.exit_code, result.output


def test_what_was_kept_is_found_again(capture: Path) -> None:
    code, first = run(str(capture), "--json")
    told = [msgspec.json.decode(line, type=Finding) for line in first.splitlines()]
    assert code == 0
    assert {(finding.detector, finding.subject.id) for finding in told} == {
        ("mass_mail", "port-0"),
        ("udp_flood", "port-1"),
    }
    assert run(str(capture), "--json") == (0, first)
    assert "mass_mail port port-0 (source, sure" in run(str(capture / "one.parquet"))[1]


def test_thresholds_of_a_file(capture: Path, tmp_path: Path) -> None:
    file = tmp_path / "thresholds.yaml"
    file.write_text("mass_mail: {enabled: false}\nudp_flood: {out_kpps: 1000}\n")
    assert run(str(capture), "--thresholds", str(file)) == (0, "")
    file.write_text("mass_mail: {enabled: perhaps}\n")
    code, told = run(str(capture), "--thresholds", str(file))
    assert (code, told) == (1, "Error: line 1, column 22: mass_mail.enabled: Expected `bool`, got `str`\n")


def test_what_is_no_capture_is_said(tmp_path: Path) -> None:
    file = tmp_path / "capture.parquet"
    file.write_bytes(b"no such thing")
    code, told = run(str(file))
    assert code == 1
    assert told.startswith("Error: ")
    assert "Traceback" not in told
