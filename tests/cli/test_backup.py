"""`suimon backup`, `restore` and `export` beside a running controller, as an operator calls them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from suimon.store import StoreConfig
from suimon.store.store import Store
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config as HistoryConfig
from suimon.telemetry.meter.history import History
from tests.api.controller import PATIENCE_S, SUIMON
from tests.resources.world import ADMIN, World
from tests.telemetry.meter.test_history import BEGAN_S, told


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """With a store that a controller runs with."""
    (tmp_path / "state").mkdir()
    world = World(url=f"sqlite:///{tmp_path}/state/suimon.db")
    network = world.network(name="blue")
    world.subnet(network)
    world.port(network, name="web")
    world.create("qos/policies", by=ADMIN, name="gold")
    world.host("hv1")
    kept = History(HistoryConfig(), Database(f"sqlite:///{tmp_path}/state/metering.db"))
    for at in (0, 10):
        kept.note([told("hv1", BEGAN_S + at, {"ax1": at})], BEGAN_S + at)
    yield tmp_path / "state"
    world.close()


def suimon(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(SUIMON), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def test_backup_and_restore(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    done = suimon("backup", file, "--state", state)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{file}: store ")
    again = suimon("backup", file, "--state", state)
    assert (again.returncode, again.stderr) == (1, f"Error: {file} exists already: a backup doesn't replace another.\n")
    refused = suimon("restore", file, "--state", state, "--replace")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: The store is in use by process ")
    (tmp_path / "new").mkdir()
    done = suimon("restore", file, "--state", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert ", as epoch 1" in done.stdout and "rows of metering are back" in done.stdout
    found = History(HistoryConfig(), Database(f"sqlite:///{tmp_path}/new/metering.db"))
    assert [each.out_bytes for each in found.samples("ax1", BEGAN_S, BEGAN_S + 10, 0)] == [10]
    refused = suimon("restore", file, "--state", tmp_path / "new")
    assert "--replace gives it up" in refused.stderr
    store = Store(StoreConfig(f"sqlite:///{tmp_path}/new/suimon.db"))
    store.open()
    assert store.position()[1] > 1
    store.close()


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_export(state: Path, form: str) -> None:
    done = suimon("export", "--state", state, "--format", form)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout) if form == "json" else msgspec.yaml.decode(done.stdout)
    assert [network["name"] for network in told["networks"]] == ["blue"]
    (port,) = told["ports"]
    assert (port["name"], port["fixed_ips"][0]["ip_address"]) == ("web", "10.0.0.2")
    assert [policy["name"] for policy in told["qos/policies"]] == ["gold"]
    assert [host["name"] for host in told["hosts"]] == ["hv1"]
    assert not {"password_hash", "credential_hash"} & {
        key for documents in told.values() for d in documents for key in d
    }


def test_what_can_not_be_done_is_said(tmp_path: Path) -> None:
    for command in ("backup", "restore"):
        done = suimon(command, tmp_path / "file", "--state", tmp_path)
        assert (done.returncode, done.stderr.startswith("Error: "), done.stderr.count("\n")) == (1, True, 1)
    done = suimon("export", "--state", tmp_path)
    assert done.stderr == f"Error: There is no database {tmp_path}/suimon.db.\n"
