"""All tests of decoders hold for what is compiled and for numpy alone."""

import pytest

from suimon.telemetry.flow import decoding


@pytest.fixture(autouse=True, params=["compiled", "numpy"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoding.compiled(), "the tests' machine has a compiler"
    if request.param == "numpy":
        monkeypatch.setattr(decoding, "_LIBRARY", None)
