"""What goes wrong with a host itself: the agent says so, nothing that is there suffers, and it heals by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from suimon.agent.saved import read_record, record
from suimon.lab.births import Birth
from tests.agent.fake_controller import FakeController
from tests.system import openvswitch
from tests.system.agent_process import AgentProcess
from tests.system.openvswitch import OpenVSwitch, run
from tests.system.test_agent import GROUP, NETWORK, SUBNET, born, pings, port, same_flows


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    yield folder
    run("umount", str(folder))


class Host:
    """A switch with its agent, and guests by number."""

    def __init__(self, switch: OpenVSwitch, controller: FakeController, state: Path) -> None:
        self.switch, self.controller, self.agent = switch, controller, AgentProcess(switch, state)
        self.guests: dict[int, str] = {}

    def start(self) -> None:
        self.agent.join(self.controller)
        self.controller.change(NETWORK, SUBNET, GROUP)
        self.agent.start()
        self.agent.wait_log("switch_connected")

    def plug(self, number: int) -> None:
        self.guests[number] = self.switch.add_guest(port(number).id, port(number).mac, f"10.0.0.{10 + number}/24")

    def ready(self, number: int) -> None:
        self.controller.wait_status(port(number).id, "ACTIVE")

    def restart_with_halves(self, *saved: str) -> None:
        """Kill the agent, leave half of what these files begin with, and start it: until all is in force again."""
        self.agent.kill()
        for name in saved:
            file = self.agent.state / name
            whole = file.read_bytes() if file.exists() else record(b"none was written yet")
            _, first = read_record(whole, 0)
            file.write_bytes(whole[: first // 2])
        read = self.agent.log.stat().st_size
        self.controller.reports.clear()
        self.agent.start()
        self.ready(1)
        said = self.agent.log.read_text()[read:]
        assert said.count("saved_state_refused") == len(saved)
        assert all((self.agent.state / f"{name}.corrupt").exists() for name in saved)

    def flows(self) -> dict[str, Birth]:
        return born(self.switch)


@pytest.fixture
def host(switch: OpenVSwitch, controller: FakeController, tmp_path: Path) -> Iterator[Host]:
    one = Host(switch, controller, tmp_path / "state")
    yield one
    one.agent.stop()
    print(one.agent.log.read_text() if one.agent.log.exists() else "no log")


def test_a_full_disk_is_told_and_what_was_there_goes_on(
    switch: OpenVSwitch, controller: FakeController, small_disk: Path, tmp_path: Path
) -> None:
    host = Host(switch, controller, small_disk / "state")
    host.agent.log = tmp_path / "agent.log"
    try:
        host.start()
        for number in (1, 2):
            host.controller.change(port(number))
            host.plug(number)
            host.ready(number)
        before = host.flows()
        with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            while True:
                filler.write(bytes(4096))
        # More than what is left of the last block of a file.
        host.controller.change(port(3, name="n" * 4096))
        host.plug(3)
        told = host.controller.wait_report(lambda report: bool(report.failures))
        assert "can't save its state" in str(told.failures)
        same_flows(before, host.flows())
        assert pings(switch, host.guests[1], "10.0.0.12") == 3
        (small_disk / "filler").unlink()
        host.ready(3)
        after = host.flows()
        same_flows(before, {text: after[text] for text in before})
    finally:
        host.agent.stop()
        print(host.agent.log.read_text())


def test_files_written_by_half_are_put_aside_and_made_anew(host: Host) -> None:
    host.start()
    host.controller.change(port(1))
    host.plug(1)
    host.ready(1)
    before = host.flows()
    host.restart_with_halves("view.json", "neighbours.json")
    same_flows(before, host.flows())
    host.restart_with_halves("numbers.json")
    assert before.keys() == host.flows().keys(), "the numbers are given out anew: the same ones, where they are few"


def test_interfaces_that_go_while_their_flows_come_leave_nothing(host: Host) -> None:
    """Each is gone before or while the bundle with its flows is on its way; its device, too, and not only its port."""
    host.start()
    host.controller.change(*(port(number) for number in range(1, 5)))
    host.plug(1)
    host.ready(1)
    before = host.flows()
    for number in range(2, 5):
        host.plug(number)
        if number % 2:
            host.switch.exec("ip", "link", "delete", f"tap{number - 1}")
        else:
            host.switch.unplug(f"tap{number - 1}")
    host.switch.vsctl("--if-exists", "del-port", "tap2")
    host.controller.change(port(1, name="seen"))
    for number in range(2, 5):
        host.controller.wait_status(port(number).id, "DOWN")
    host.controller.wait_report(lambda report: report.position.revision == host.controller.revision)
    same_flows(before, host.flows())
    assert "Traceback" not in host.agent.log.read_text()


def changed_schema(path: Path) -> Path:
    """As a newer and an older Open vSwitch at once would have it: a column and a table more, some columns less."""
    schema = json.loads(openvswitch.SCHEMA.read_text())
    tables = schema["tables"]
    del tables["Interface"]["columns"]["link_state"]
    tables["Interface"]["columns"]["spin"] = {"type": "string"}
    tables["Novelty"] = {"columns": {"name": {"type": "string"}}, "isRoot": True}
    schema.pop("cksum", None)
    path.write_text(json.dumps(schema))
    return path


def test_another_schema_is_lived_with(
    controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvswitch, "SCHEMA", changed_schema(tmp_path / "schema"))
    switch = OpenVSwitch()
    host = Host(switch, controller, tmp_path / "state")
    try:
        switch.start()
        host.start()
        host.controller.change(port(1))
        host.plug(1)
        host.ready(1)
        assert "Interface.link_state" in host.agent.log.read_text()
    finally:
        host.agent.stop()
        switch.stop()


def test_a_schema_without_what_is_needed_is_told(
    controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = json.loads(openvswitch.SCHEMA.read_text())
    del schema["tables"]["Open_vSwitch"]["columns"]["cur_cfg"]
    schema.pop("cksum", None)
    (tmp_path / "schema").write_text(json.dumps(schema))
    monkeypatch.setattr(openvswitch, "SCHEMA", tmp_path / "schema")
    switch = OpenVSwitch()
    agent = AgentProcess(switch, tmp_path / "state")
    try:
        (switch.home / "run").mkdir()
        run("ip", "netns", "add", switch.namespace)
        run("ovsdb-tool", "create", str(switch.home / "conf.db"), str(openvswitch.SCHEMA))
        (switch.home / "log").mkdir()
        switch.start_database()
        agent.join(controller)
        agent.start()
        agent.wait_log("has no Open_vSwitch.cur_cfg: this Open vSwitch is too old")
    finally:
        agent.stop()
        switch.stop()
