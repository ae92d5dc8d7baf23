"""A processor that DuckDB would end on is refused in words."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from suimon import cli
from suimon.cli.processor import refuse_old

HASWELL = "processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2 bmi1 bmi2 abm\nbugs\t\t: mds\n"


@pytest.mark.parametrize(("flag", "name"), [("avx2", "AVX2"), ("bmi2", "BMI2"), ("abm", "LZCNT")])
def test_a_processor_that_lacks_something_is_refused(tmp_path: Path, flag: str, name: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(HASWELL.replace(f" {flag}", ""))
    with pytest.raises(click.ClickException, match=f"this one has no {name}\\."):
        refuse_old(cpuinfo)


@pytest.mark.parametrize("said", [HASWELL, "processor\t: 0\nFeatures\t: fp asimd evtstrm\n"])
def test_one_that_has_all_and_one_of_another_kind_are_not(tmp_path: Path, said: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(said)
    refuse_old(cpuinfo)


def test_commands_that_need_duckdb_ask_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise click.ClickException("too old")

    monkeypatch.setattr(cli, "refuse_old", refuse)
    for command in ("collector", "detect"):
        assert "too old" in CliRunner().invoke(cli.main, [command, "--help"]).output
    assert CliRunner().invoke(cli.main, ["flows", "--help"]).exit_code == 0
