"""Every scenario file comes out as it is written: the flows that a step changes, and who reaches whom."""

from pathlib import Path

import pytest

from tests.pipeline.scenario import files, replay


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    expected = path.read_text()
    came_out = replay(expected)
    if request.config.getoption("--rewrite-scenarios", default=False):
        path.write_text(came_out)
        return
    assert came_out == expected
