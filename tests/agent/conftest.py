"""What tests of the agent share."""

from collections.abc import Iterator

import pytest

from tests.agent.fake_controller import FakeController


@pytest.fixture
def fake() -> Iterator[FakeController]:
    """The host protocol on a real socket; gone afterwards."""
    one = FakeController()
    one.start()
    yield one
    one.stop()
