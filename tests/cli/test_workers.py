"""Several processes that serve one address: they come, are replaced, and go together."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from suimon.cli.database import VARIABLE
from tests.api.controller import PATIENCE_S, Controller, free_port
from tests.postgresql import cluster


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    url = cluster().url()
    monkeypatch.setenv(VARIABLE, url)
    made = Controller(tmp_path / "state", free_port(), free_port(), "--workers", "2")
    made.start()
    yield made
    made.stop(signal.SIGKILL)
    wait_until_free(made.port)
    cluster().drop(url)


def workers(controller: Controller) -> set[int]:
    pid = controller.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def healthy(controller: Controller) -> bool:
    with urllib.request.urlopen(f"{controller.url}/healthz", timeout=10) as answer:
        return bool(json.load(answer)["status"] == "ok")


def wait_until_free(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise AssertionError(f"port {port} is still served")


def test_a_worker_that_dies_is_replaced_and_all_go_when_told(controller: Controller) -> None:
    before = workers(controller)
    assert len(before) == 2
    assert healthy(controller)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    assert healthy(controller)
    deadline = time.monotonic() + PATIENCE_S
    while len(workers(controller) - {victim}) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers(controller) - before) == 1
    assert "worker_died" in controller.log()
    assert controller.stop() == 0
    wait_until_free(controller.port)
    assert (controller.state / "clouds.yaml").exists()


def test_workers_do_not_outlive_what_started_them(controller: Controller) -> None:
    assert len(workers(controller)) == 2
    controller.stop(signal.SIGKILL)
    wait_until_free(controller.port)
    wait_until_free(controller.hosts_port)


def test_a_file_has_one_process(tmp_path: Path) -> None:
    said = Controller(tmp_path / "state", free_port(), free_port(), "--workers", "2").refusal()
    assert said == "Error: A SQLite file has one process that writes it: --workers needs PostgreSQL (--database).\n"


def test_a_worker_that_can_not_start_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"postgresql://suimon@/suimon?host={tmp_path}")
    said = Controller(tmp_path / "state", free_port(), free_port(), "--workers", "4").refusal()
    assert said.count("can't be opened") == 1
    assert said.endswith("Error: A worker could not start (status 1).\n")
