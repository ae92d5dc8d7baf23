"""The journal survives the death of its writer."""

from pathlib import Path

from suimon.lab.journal import Entry, Journal


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    entries = [Entry("namespace", "smt-hv1"), Entry("process", "hv1", 77, 123456)]
    for entry in entries:
        journal.write(entry)
    assert list(journal.entries()) == entries


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert list(Journal(tmp_path / "journal").entries()) == []


def test_a_torn_or_foreign_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.write(Entry("namespace", "smt-hv1"))
    with path.open("ab") as file:
        file.write(b'{"kind":"dragon","name":"x"}\n\xff\xfe\n{"kind":"names')
    assert list(journal.entries()) == [Entry("namespace", "smt-hv1")]
