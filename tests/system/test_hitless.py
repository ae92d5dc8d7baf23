"""What did not change isn't touched, whatever ends or is upgraded; and a host comes up from its own last view."""

import contextlib
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from suimon.agent.saved import read_record, record
from suimon.lab.births import at_once
from suimon.model.view import BandwidthLimit, PacketLimit, QosPolicy
from tests.agent.fake_controller import FakeController
from tests.system import test_agent
from tests.system.agent_process import AgentProcess
from tests.system.clouds import eventually
from tests.system.openvswitch import SCHEMA, OpenVSwitch, run
from tests.system.pings import pinging
from tests.system.test_agent import GROUP, NETWORK, SUBNET, born, lease, pings, port, same_flows

LIMITS = QosPolicy(
    "q",
    (BandwidthLimit("egress", 50_000), BandwidthLimit("ingress", 50_000)),
    packet_limits=(PacketLimit("egress", 10), PacketLimit("ingress", 10)),
)
PORTS = tuple(msgspec.structs.replace(each, qos_id=LIMITS.id) for each in test_agent.PORTS)
ROWS = {"qos": "_uuid,type,queues,other_config", "queue": "_uuid,other_config", "port": "_uuid,name,qos"}
SOURCE = Path(__file__).resolve().parents[2] / "src" / "suimon"
YOUNGER_THAN_THE_FIRST_RELEASE = {"dns_domain", "dns_name", "ra_mode", "address_mode", "dhcp_options", "external", "up"}


@pytest.fixture(scope="module")
def switch(kept_switch: OpenVSwitch) -> OpenVSwitch:
    """One for all tests: each of them leaves it as it found it, or has failed."""
    return kept_switch


@pytest.fixture(scope="module")
def controller(kept_controller: FakeController) -> FakeController:
    return kept_controller


@pytest.fixture(scope="module")
def agent(
    switch: OpenVSwitch, controller: FakeController, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AgentProcess]:
    """With two guests, ACTIVE."""
    one = AgentProcess(switch, tmp_path_factory.mktemp("agent") / "state")
    one.join(controller, "--tunnel-ip", "192.0.2.1")
    controller.change(NETWORK, SUBNET, GROUP, LIMITS, *PORTS)
    one.start()
    one.wait_log("switch_connected")
    for each in PORTS:
        switch.add_guest(each.id, each.mac)
        controller.wait_status(each.id, "ACTIVE")
    yield one
    one.stop()
    print(one.log.read_text())


class Counted(msgspec.Struct, frozen=True):
    """The limits in the switch: the rows of those that shape, the bytes that left their queues, the packets metered."""

    rows: str
    queues: dict[str, int]
    meters: dict[str, int]


def limits(switch: OpenVSwitch) -> Counted:
    """A limit that is made again is another row, and its queue or its meter counts from nothing."""
    rows = "\n".join(switch.vsctl("--columns=" + columns, "list", table) for table, columns in ROWS.items())
    queues = {}
    for number in range(len(PORTS)):
        shown = switch.exec("tc", "-s", "class", "show", "dev", f"tap{number}")
        for name, sent in re.findall(r"class htb (\S+) .*\n Sent (\d+) bytes", shown):
            queues[f"tap{number} {name}"] = int(sent)
    found = re.findall(r"meter:(\d+) .*?packet_in_count:(\d+)", switch.ofctl("meter-stats"))
    return Counted(rows, queues, {meter: int(packets) for meter, packets in found})


def same_limits(before: Counted, after: Counted) -> None:
    """All are there, of all of them some have counted, and none has begun anew."""
    assert before.rows == after.rows
    for earlier, later in ((before.queues, after.queues), (before.meters, after.meters)):
        assert earlier.keys() == later.keys() and any(earlier.values())
        assert all(later[name] >= count for name, count in earlier.items())


def come_back(agent: AgentProcess) -> None:
    size = agent.log.stat().st_size
    agent.start()
    agent.wait_log("view_in_force", after=size)


def older(view: bytes) -> bytes:
    """The file as a release before these fields wrote it."""
    at, lines = 0, []
    while at < len(view):
        body, at = read_record(view, at)
        assert body is not None
        changes = msgspec.json.decode(body)
        for thing in changes["changed"]:
            for name in YOUNGER_THAN_THE_FIRST_RELEASE & thing.keys():
                del thing[name]
        lines.append(record(msgspec.json.encode(changes)))
    return b"".join(lines)


class Teleport(msgspec.Struct, frozen=True, tag="teleport"):
    """A kind of object that no agent knows yet."""

    id: str


@contextlib.contextmanager
def nothing_lost(switch: OpenVSwitch, tmp_path: Path) -> Iterator[None]:
    """200 pings a second from one guest to the other meanwhile, and each is answered."""
    for guest in switch.guests:
        lease(switch, guest, tmp_path)
    command = ["ip", "netns", "exec", switch.guests[0], "ping", "-i", "0.005", "-W", "1", "10.0.0.12"]
    with pinging(command) as counted:
        yield
    assert counted.sent > 50
    assert counted.lost <= 1, counted


def restarted(switch: OpenVSwitch, controller: FakeController, agent: AgentProcess) -> None:
    agent.kill(signal.SIGTERM)
    come_back(agent)


def killed(switch: OpenVSwitch, controller: FakeController, agent: AgentProcess) -> None:
    agent.kill()
    come_back(agent)


def left_alone(switch: OpenVSwitch, controller: FakeController, agent: AgentProcess) -> None:
    """Of the controller, also through a life of the agent."""
    with controller.away():
        killed(switch, controller, agent)
        size = agent.log.stat().st_size
    revision = controller.change(PORTS[0])
    agent.wait_log(f"revision={revision}", after=size)


def disconnected(switch: OpenVSwitch, controller: FakeController, agent: AgentProcess) -> None:
    """The database's connections are dropped, its server lives."""
    size = agent.log.stat().st_size
    pid = (switch.rundir / "ovsdb-server.pid").read_text().strip()
    run("ovs-appctl", "-t", str(switch.rundir / f"ovsdb-server.{pid}.ctl"), "ovsdb-server/reconnect")
    agent.wait_log("switch_connected", after=size)
    agent.wait_log("switch_restored", after=size)


HARMS: tuple[Callable[[OpenVSwitch, FakeController, AgentProcess], None], ...] = (
    restarted,
    killed,
    left_alone,
    disconnected,
)


def test_nothing_is_lost_and_nothing_touched(switch, controller, agent, tmp_path) -> None:
    before, limited = born(switch), None
    for harm in HARMS:
        print(harm.__name__)
        with nothing_lost(switch, tmp_path):
            limited = limited or limits(switch)
            harm(switch, controller, agent)
            same_limits(limited, limited := limits(switch))
        same_flows(before, born(switch))


def test_flows_of_another_layout_become_ours_in_one_bundle_and_the_others_are_not_touched(
    switch, controller, agent, tmp_path
) -> None:
    """As after an upgrade: stage `deliver` of the version before went on in a table that there is no more."""
    before = born(switch)
    with nothing_lost(switch, tmp_path):
        agent.kill()
        flows = re.findall(
            r"cookie=(\S+),.*table=74,.*?(priority=\S+) actions=(\S+)", switch.ofctl("dump-flows", "br-int", "table=74")
        )
        assert len(flows) >= len(PORTS)
        for cookie, match, actions in flows:
            switch.ofctl("add-flow", "br-int", f"cookie={cookie},table=250,{match},actions={actions}")
            switch.ofctl("add-flow", "br-int", f"cookie={cookie},table=74,{match},actions=goto_table:250")
        come_back(agent)
    after = born(switch)
    same_flows(*({text: at for text, at in each.items() if "table=74" not in text} for each in (before, after)))
    changed = [after[text] for text in after if "table=74" in text]
    assert at_once(changed)
    assert after.keys() == before.keys()


def test_a_kind_that_came_later_has_no_effect_and_all_else_has(switch, controller, agent) -> None:
    before, size = born(switch), agent.log.stat().st_size
    revision = controller.change(Teleport("t"), PORTS[0])
    agent.wait_log(f"revision={revision}", after=size)
    assert "event=unknown_kinds" in agent.log.read_text()[size:]
    same_flows(before, born(switch))


def test_an_upgraded_agent_reads_the_view_of_its_predecessor_and_touches_nothing(switch, controller, agent) -> None:
    before = born(switch)
    with controller.away():
        agent.kill()
        file = agent.state / "view.json"
        file.write_bytes(older(file.read_bytes()))
        come_back(agent)
        same_flows(before, born(switch))


def test_a_half_written_change_is_dropped_and_nothing_is_touched(switch, controller, agent) -> None:
    before, size = born(switch), agent.log.stat().st_size
    with controller.away():
        agent.kill()
        with (agent.state / "view.json").open("ab") as file:
            file.write(record(b'{"position":["store-1",1,99],"deleted":[["port","x"]],"changed":[]}')[:-20])
        come_back(agent)
        assert re.search(r"tail_dropped file=\S+view.json", agent.log.read_text()[size:])
        same_flows(before, born(switch))


def test_the_clock_on_the_wall_decides_nothing() -> None:
    """No code that decides for a host asks for the time of day, so that it may jump."""
    asking = re.compile(r"\btime\.time\(|datetime\.now|utcnow")
    for package in ("agent", "dataplane", "pipeline"):
        for file in (SOURCE / package).rglob("*.py"):
            assert not asking.search(file.read_text()), file
    assert not asking.search((SOURCE / "reconcile.py").read_text())


def test_a_rebooted_host_comes_up_from_its_own_last_view_while_the_controller_is_away(
    switch, controller, agent, tmp_path
) -> None:
    for guest in switch.guests:
        lease(switch, guest, tmp_path)
    before = {re.sub(r"cookie=\S+ ", "", text) for text in born(switch)}
    with controller.away():
        agent.kill()
        reboot(switch)
        size = agent.log.stat().st_size
        come_back(agent)
        agent.wait_log("services_taken_up", after=size)
        for number, each in enumerate(PORTS):
            with contextlib.suppress(RuntimeError):
                switch.unplug(f"tap{number}")
            switch.plug(f"tap{number}", each.id)
            agent.wait_log(f"interface_changed port={each.id} interface=tap{number} ofport=", after=size)
        eventually(lambda: len(born(switch)) == len(before))
        assert pings(switch, switch.guests[0], "10.0.0.12") == 3


def reboot(switch: OpenVSwitch) -> None:
    """Neither flows nor the database, nor the services' namespace live through it."""
    switch.kill("ovs-vswitchd")
    switch.kill("ovsdb-server")
    run("ip", "netns", "delete", f"{switch.namespace}-services")
    (switch.home / "conf.db").unlink()
    run("ovsdb-tool", "create", str(switch.home / "conf.db"), str(SCHEMA))
    switch.start_database()
    switch.vsctl("--no-wait", "init")
    switch.start_switch()


def test_an_interface_that_comes_and_goes_while_bundles_are_written_refuses_nothing(switch, controller, agent) -> None:
    before = born(switch)
    for number in range(20):
        news = port(3, name=f"n{number}")
        controller.change(news)
        switch.vsctl("--no-wait", "add-port", "br-int", "tapx", "--", "set", "interface", "tapx", "type=internal",
                     f"external_ids:iface-id={news.id}")  # fmt: skip
        switch.vsctl("--no-wait", "--if-exists", "del-port", "tapx")
        controller.change(deleted=[("port", news.id)])
    controller.wait_report(lambda report: report.position.revision == controller.revision)
    assert not any(report.failures for report in controller.reports)
    same_flows(before, born(switch))
