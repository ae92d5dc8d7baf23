"""Each kind of finding has its section in the runbooks, where the API's links lead."""

from pathlib import Path

import msgspec
import pytest

from suimon.detection.thresholds import Thresholds
from suimon.model.incidents import runbook

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("detector", [each.name for each in msgspec.structs.fields(Thresholds)])
def test_each_detector_has_its_runbook(detector: str) -> None:
    path, _, name = runbook(detector).partition("#")
    assert f'\n## <a name="{name}"></a>Finding: ' in (ROOT / path).read_text()
