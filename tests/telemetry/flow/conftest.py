"""All tests of receivers and decoders hold for what is compiled and for numpy alone."""

import pytest

from suimon.telemetry.flow import decoding, receiving


@pytest.fixture(autouse=True, params=["compiled", "numpy"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoding.compiled() and receiving._LIBRARY, "the tests' machine has a compiler"
    if request.param == "numpy":
        for module in (decoding, receiving):
            monkeypatch.setattr(module, "_LIBRARY", None)
