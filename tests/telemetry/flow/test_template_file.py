"""Templates outlive a collector that is killed, and a file that is broken stops nobody."""

from pathlib import Path

from suimon.telemetry.flow.template_file import TemplateFile
from tests.telemetry.flow.parts import collector, ipfix, take
from tests.telemetry.flow.test_collector import FIVE, RECORD


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    of = collector()
    take(of, ipfix(FIVE))
    TemplateFile(tmp_path / "templates", of).save()
    again = collector()
    TemplateFile(tmp_path / "templates", again).restore()
    assert len(take(again, ipfix(RECORD))) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["templates"]


def test_only_changes_are_written(tmp_path: Path) -> None:
    of = collector()
    take(of, ipfix(FIVE))
    file = TemplateFile(tmp_path / "templates", of)
    file.save()
    (tmp_path / "templates").unlink()
    take(of, ipfix(FIVE))
    file.save()
    assert not [*tmp_path.iterdir()]


def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    of = collector()
    take(of, ipfix(FIVE))
    file = TemplateFile(tmp_path / "later" / "templates", of)
    file.save()
    (tmp_path / "later").mkdir()
    file.save()
    assert (tmp_path / "later" / "templates").exists()


def test_a_broken_file_is_passed_over(tmp_path: Path) -> None:
    of = collector()
    file = TemplateFile(tmp_path / "templates", of)
    file.restore()
    (tmp_path / "templates").write_bytes(b"half of a fi")
    file.restore()
    assert not of.exporters.table
