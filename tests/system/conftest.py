"""What the system tests share: root, a real Open vSwitch, and private switches."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.agent.fake_controller import FakeController
from tests.system.openvswitch import OpenVSwitch


@pytest.fixture
def switch() -> Iterator[OpenVSwitch]:
    """A running Open vSwitch without bridges, gone afterwards."""
    yield from _running()


@pytest.fixture(scope="module")
def kept_switch() -> Iterator[OpenVSwitch]:
    """The same for all tests of a module, where one cloud serves them all."""
    yield from _running()


@pytest.fixture
def controller() -> Iterator[FakeController]:
    """The host protocol on a real socket, with the view in the test's hands; gone afterwards."""
    yield from _serving()


@pytest.fixture(scope="module")
def kept_controller() -> Iterator[FakeController]:
    """The same for all tests of a module."""
    yield from _serving()


def _serving() -> Iterator[FakeController]:
    fake = FakeController()
    fake.start()
    yield fake
    fake.stop()


def _running() -> Iterator[OpenVSwitch]:
    if os.geteuid() != 0 or shutil.which("ovs-vswitchd") is None:
        pytest.skip("needs root and Open vSwitch")
    one = OpenVSwitch()
    try:
        one.start()
        yield one
    finally:
        one.stop()
