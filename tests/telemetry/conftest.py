"""A history in files, for whoever asks one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.telemetry.test_history import Filed


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[Filed]:
    made = Filed(tmp_path)
    yield made
    made.history.close()
