"""Which database a command works with, and that no password is said where others can read it."""

from pathlib import Path

import pytest

from suimon.cli.database import VARIABLE, database_url
from suimon.store import StoreError

SERVER = "postgresql://suimon@db/suimon"
SECRET = "postgresql://suimon:xyzzy@db/suimon"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_file_in_the_state_directory_is_what_nobody_has_to_name(tmp_path: Path) -> None:
    assert database_url(tmp_path, "", "") == f"sqlite:///{tmp_path}/suimon.db"


def test_the_option_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    assert database_url(tmp_path, "", "") == SECRET
    assert database_url(tmp_path, SERVER, "") == SERVER
    (tmp_path / "url").write_text(f"{SERVER}2\n")
    assert database_url(tmp_path, "", str(tmp_path / "url")) == f"{SERVER}2"


@pytest.mark.parametrize(
    ("option", "file", "words"),
    [
        (SECRET, "", "--database has a password, which everybody on this machine can read"),
        ("mysql://u@h/d", "", "A database is named as"),
        (SERVER, "url", "name two databases"),
        ("", "empty", "is empty"),
        ("", "nowhere", "Can't read the file"),
        ("", "binary", "Can't read the file"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, option: str, file: str, words: str) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match=words) as caught:
        database_url(tmp_path, option, file and str(tmp_path / file))
    assert "xyzzy" not in str(caught.value)
