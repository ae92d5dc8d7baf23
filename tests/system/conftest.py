"""What the system tests share: root, a real Open vSwitch, and one private switch for each test that asks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.system.openvswitch import OpenVSwitch


@pytest.fixture
def switch() -> Iterator[OpenVSwitch]:
    """A running Open vSwitch without bridges, gone afterwards."""
    if os.geteuid() != 0 or shutil.which("ovs-vswitchd") is None:
        pytest.skip("needs root and Open vSwitch")
    one = OpenVSwitch()
    try:
        one.start()
        yield one
    finally:
        one.stop()
