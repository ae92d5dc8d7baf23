"""What the lab refuses before it touches anything."""

import os
import shutil
from pathlib import Path

import pytest

from suimon.lab.error import LabError
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(LabConfig(name="smtnone", root=str(tmp_path / "labs")), print)


def test_without_root_one_sentence_and_nothing_made(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for act in (lab.up, lab.down):
        with pytest.raises(LabError, match="only root may do; run it with sudo"):
            act()
    assert not lab.layout.directory.parent.exists()


def test_missing_programs_are_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("nft", "udhcpc") else f"/bin/{name}")
    with pytest.raises(LabError, match="Programs are missing: nft, udhcpc; `suimon doctor` says"):
        lab.up()
    assert not lab.layout.directory.parent.exists()


def test_what_is_not_there_says_how_to_make_it(lab: Lab) -> None:
    assert lab.status().state == "absent"
    with pytest.raises(LabError, match="is absent; `suimon lab up` makes it"):
        lab.require_up()
