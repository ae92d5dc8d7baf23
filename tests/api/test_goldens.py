"""The answers in `goldens/*.txt` are what the API says. `GOLDENS=rewrite pytest …/test_goldens.py` writes them anew."""

import os
from pathlib import Path

import pytest

from tests.api.cloud import Cloud
from tests.api.golden import played, sections

FILES = sorted((Path(__file__).parent / "goldens").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_answers_are_as_written(path: Path, tmp_path: Path) -> None:
    parts = []
    for number, section in enumerate(sections(path)):
        (tmp_path / str(number)).mkdir()
        cloud = Cloud(tmp_path / str(number))
        try:
            parts.append(played(cloud, section))
        finally:
            cloud.close()
    text = "\n\n".join(parts) + "\n"
    if os.environ.get("GOLDENS") == "rewrite":
        path.write_text(text)
    assert path.read_text() == text
