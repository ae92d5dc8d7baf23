"""Promise: the main job needs nothing of the extra `telemetry`: where its packages are not installed, a cloud comes up,
guests reach each other, what they send is metered, and who needs the packages is told so.
"""

from __future__ import annotations

import re
import site
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest

from suimon.lab.lab import Lab
from suimon.lab.openstack import OpenStack
from tests.patience import patient
from tests.system.clouds import connect, eventually, free_lab, guest

PINGS = 50
METERED_S = 40


@pytest.fixture(scope="module")
def suimon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, of an environment that has all packages of this one but the extra's."""
    home = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=patient(60))
    here, there = (Path(root, *_packages().parts[-3:]) for root in (sys.prefix, home))
    for each in here.iterdir():
        if each.name not in _of_the_extra():
            (there / each.name).symlink_to(each)
    command = home / "bin" / "suimon"
    command.write_text(f"#!{home}/bin/python\nfrom suimon.cli import main\n\nmain()\n")
    command.chmod(0o755)
    return command


@pytest.fixture
def lab(suimon: Path) -> Iterator[Lab]:
    with free_lab("bare") as config:
        made = Lab(config, print)
        made.cloud.program = [str(suimon)]
        try:
            made.up()
            yield made
        finally:
            made.down()


def test_the_packages_are_not_there_and_who_needs_them_says_so(suimon: Path) -> None:
    for name in ("numpy", "duckdb"):
        asked = [str(suimon.with_name("python")), "-c", f"import {name}"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=patient(30), check=False)
        assert f"No module named '{name}'" in done.stderr
    done = subprocess.run([str(suimon), "collector", "--help"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode and "install suimon[telemetry]" in done.stderr


def test_a_packet_moves_and_is_metered(lab: Lab) -> None:
    network = connect(lab).network.create_network(name="bare")
    connect(lab).network.create_subnet(network_id=network.id, ip_version=4, cidr="10.13.0.0/24")
    one, two = (guest(lab, network.id, name, host) for name, host in (("one", "hv1"), ("two", "hv2")))
    said = lab.guests.run(one, ["ping", "-q", "-c", str(PINGS), "-i", "0.01", two.lease["ip"].partition("/")[0]])
    assert f" {PINGS} received" in said, said
    with OpenStack(lab.layout) as cloud:
        asked = f"/operations/v1/usage?port_id={one.port_id}&since={time.time() - 600:.0f}"
        eventually(lambda: cloud.ask(asked)["usage"]["total"]["out_packets"] >= PINGS, METERED_S)


def _packages() -> Path:
    return Path(site.getsitepackages()[0])


def _of_the_extra() -> set[str]:
    """What its distributions have among the packages."""
    wanted = [each for each in requires("suimon") or () if "telemetry" in each]
    names = [re.split(r"[^\w.-]", each)[0] for each in wanted]
    assert len(names) == 2, wanted
    return {file.parts[0] for name in names for file in distribution(name).files or ()}
