"""What somebody else did to the switch is found, repaired by the smallest change, and told; what isn't ours is left."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from suimon.dataplane.layout import TUNNELS
from suimon.lab.births import at_once
from suimon.model.view import Report
from tests.patience import patient
from tests.system.agent_process import AgentProcess
from tests.system.clouds import eventually
from tests.system.openvswitch import DATAPATH, OpenVSwitch
from tests.system.test_agent import GROUP, NETWORK, PORTS, SUBNET, born, same_flows

FOREIGN = "cookie=0x77,table=251,priority=3,actions=drop"


@pytest.fixture
def agent(switch: OpenVSwitch, controller, tmp_path) -> Iterator[AgentProcess]:
    """With two guests, ACTIVE, and a physical network; it checks all the time."""
    switch.exec("ip", "link", "add", "up0", "up", "type", "veth", "peer", "name", "up1")
    switch.exec("ip", "link", "set", "up1", "up")
    one = AgentProcess(switch, tmp_path / "state", "--check-every", "0.4", "--uplink", "public=up0")
    one.join(controller, "--tunnel-ip", "192.0.2.1", "--physnet", "public")
    controller.change(NETWORK, SUBNET, GROUP, *PORTS)
    one.start()
    one.wait_log("switch_connected")
    for each in PORTS:
        switch.add_guest(each.id, each.mac)
        controller.wait_status(each.id, "ACTIVE")
    yield one
    one.stop()
    print(one.log.read_text())


def test_drift_is_repaired_by_the_smallest_change_and_told(switch, controller, agent) -> None:
    before = born(switch)
    victim = next(text for text in before if f"dl_src={PORTS[0].mac}" in text and "priority=" in text)
    cookie = victim.split("cookie=")[1].split(",")[0]
    switch.ofctl("del-flows", "br-int", f"cookie={cookie}/-1")
    gone = {text for text in before if f"cookie={cookie}," in text}
    switch.ofctl("add-flow", "br-int", FOREIGN)
    switch.ofctl("add-flow", "br-int", "cookie=0x5a00000000000077,table=251,priority=9,actions=drop")

    def told(owner: str):
        return lambda report: any(each.owner == owner and each.repaired for each in report.drifts)

    lost = controller.wait_report(told(f"port/{PORTS[0].id}"))
    (drift,) = (each for each in lost.drifts if each.owner.startswith("port/"))
    assert (drift.missing, drift.changed, drift.extra) == (len(gone), 0, 0)
    assert 0 <= drift.age_s < patient(10)
    controller.wait_report(told(""))
    assert "1 flows" in controller.wait_report(lambda report: report.foreign).foreign
    after = born(switch)
    assert "cookie=0x77" in "".join(after), "what isn't ours stays"
    ours = {text: when for text, when in after.items() if "cookie=0x77" not in text}
    assert ours.keys() == before.keys()
    same_flows(*({text: flows[text] for text in ours.keys() - gone} for flows in (before, ours)))
    assert not any(
        each.status == "DOWN" for report in controller.reports for each in report.ports if "switch" in each.reason
    )


def test_a_group_and_a_meter_that_were_deleted_come_back(switch, controller, agent) -> None:
    groups, before = switch.ofctl("dump-groups"), born(switch)
    assert "group_id=" in groups
    switch.ofctl("del-groups")
    controller.wait_report(lambda report: report.drifts)
    assert sorted(switch.ofctl("dump-groups").split("\n")[1:]) == sorted(groups.split("\n")[1:])
    assert born(switch).keys() == before.keys()


def test_what_flows_see_of_fragments_is_put_right(switch, controller, agent) -> None:
    before = born(switch)
    switch.ofctl("set-frags", "br-int", "normal")
    report = controller.wait_report(lambda report: report.drifts)
    (drift,) = report.drifts
    assert (drift.extra, drift.example, drift.repaired) == (1, "fragment handling normal", True)
    assert switch.ofctl("get-frags").strip() == "nx-match"
    same_flows(before, born(switch))


def test_bridges_and_tunnels_are_put_right(switch, controller, agent) -> None:
    """Each as it was; a port that was deleted comes back under whatever number, with its network."""
    (tunnel,) = (name for name in switch.vsctl("list-ports", "br-int").split() if name in TUNNELS.values())

    def made() -> list[str]:
        asked = [("list-ports", "br-int"), ("list-ports", "br-public"), ("get-fail-mode", "br-int")]
        asked += [("get-fail-mode", "br-public"), ("get", "interface", tunnel, "options")]
        asked += [("get", "interface", name, "options:peer") for name in ("int-public", "phy-public")]
        return [switch.vsctl(*each) for each in asked]

    before = made()
    for harm in (
        ("set-fail-mode", "br-int", "standalone"),
        ("set-fail-mode", "br-public", "standalone"),
        ("set", "interface", tunnel, "options:local_ip=192.0.2.9"),
        ("del-port", "br-int", tunnel),
        ("set", "interface", "phy-public", "options:peer=nowhere"),
        ("del-port", "br-int", "int-public"),
        ("del-port", "br-public", "up0"),
    ):
        seen = len(controller.reports)
        switch.vsctl(*harm)
        controller.wait_report(partial(_told_layout, controller.reports, seen))
        assert made() == before, harm
    controller.wait_report(lambda report: controller.reports[-1].failures == {})


def _told_layout(reports: list[Report], seen: int, _: Report) -> bool:
    drifts = [each for one in reports[seen:] for each in one.drifts]
    return any(each.owner == "bridge/br-int" and "in table" in each.example for each in drifts)


def _checked(agent: AgentProcess) -> int:
    """How many checks have been completed."""
    return int(agent.ask("agent", "status").split("checked: ")[1].split()[0])


def test_flows_of_a_provider_bridge_are_put_back(switch, controller, agent) -> None:
    before = switch.ofctl("dump-flows", "br-public", "--no-stats")
    assert before.count("actions=") > 1
    switch.ofctl("del-flows", "br-public")
    report = controller.wait_report(lambda report: any("br-public: " in each.example for each in report.drifts))
    (drift,) = (each for each in report.drifts if "br-public: " in each.example)
    assert (drift.missing, drift.repaired) == (before.count("actions="), True)
    assert sorted(switch.ofctl("dump-flows", "br-public", "--no-stats").split("\n")) == sorted(before.split("\n"))


def test_what_is_not_ours_is_told_for_each_bridge_and_stays(switch, controller, agent) -> None:
    for bridge in ("br-int", "br-public"):
        switch.ofctl("add-flow", bridge, FOREIGN)
        switch.ofctl("add-group", bridge, "group_id=7,type=all,bucket=drop")
        switch.ofctl("add-meter", bridge, "meter=3,kbps,band=type=drop,rate=1000")
        switch.vsctl("add-port", bridge, f"x{bridge}", "--", "set", "interface", f"x{bridge}", "type=internal")
    things = "1 flows, one in table 251, cookie 0x77, 1 groups, one 7, 1 meters, one 3, 1 ports, one x"
    told = "; ".join(f"{bridge}: {things}{bridge}" for bridge in ("br-int", "br-public"))
    controller.wait_report(lambda report: report.foreign == told)
    assert told in agent.ask("agent", "status")
    checked = _checked(agent)
    eventually(lambda: _checked(agent) > checked)
    for bridge in ("br-int", "br-public"):
        assert "cookie=0x77" in switch.ofctl("dump-flows", bridge)
        assert "group_id=7," in switch.ofctl("dump-groups", bridge)
        assert "meter=3 " in switch.ofctl("dump-meters", bridge)
        assert f"x{bridge}" in switch.vsctl("list-ports", bridge).split()


def test_a_place_of_services_that_somebody_took_away_is_told_and_made_again(switch, controller, agent) -> None:
    agent.wait_log("services_taken_up")
    size = agent.log.stat().st_size
    switch.exec("ip", "link", "delete", "sm-services")
    controller.wait_report(lambda report: any(each.owner == "namespace/services" for each in report.drifts))
    controller.wait_report(lambda report: "namespace/services" in report.failures)
    agent.wait_log("services_taken_up", after=size)
    controller.wait_report(lambda report: controller.reports[-1].failures == {})


@pytest.mark.parametrize("harm", ["-4 route flush", "-4 address flush", "-6 neighbour flush nud permanent"])
def test_what_the_place_of_services_lacks_is_told_and_put_back(switch, controller, agent, harm: str) -> None:
    agent.wait_log("services_taken_up")
    space, ready = f"{switch.namespace}-services", agent.log.read_text().count("services_ready")

    def shown() -> list[str]:
        asked = [f"{family} {thing} show" for family in ("-4", "-6") for thing in ("route", "neighbour")]
        return [switch.exec("ip", *each.split(), "dev", "services", guest=space) for each in ("address show", *asked)]

    before = shown()
    switch.exec("ip", *harm.split(), "dev", "services", guest=space)
    # That it did harm is what the check says: to look here takes as long as a check comes round.
    controller.wait_report(lambda report: any(each.owner == "namespace/services" for each in report.drifts))
    assert shown() == before
    assert agent.log.read_text().count("services_ready") == ready, "nobody's connection was cut"


def test_orphans_are_told_and_removed_on_command_and_foreign_things_never(switch, controller, agent) -> None:
    mark = "external_ids:suimon-owner=bridge/br-old"
    switch.vsctl("add-br", "br-old", "--", "set", "bridge", "br-old", mark, f"datapath_type={DATAPATH}")
    switch.vsctl("add-br", "br-theirs", "--", "set", "bridge", "br-theirs", f"datapath_type={DATAPATH}")
    switch.vsctl("create", "queue", "external_ids:suimon-owner=port/gone")
    told = controller.wait_report(lambda report: len(report.orphans) == 2)
    assert told.orphans[0] == "bridge br-old of bridge/br-old"
    assert "orphan: bridge br-old" in agent.ask("agent", "status")
    assert "br-old" in switch.vsctl("list-br").split(), "only an operator's word removes it"
    assert "removed: bridge br-old" in agent.ask("agent", "clean")
    assert switch.vsctl("list-br").split() == ["br-int", "br-public", "br-theirs"]
    assert switch.vsctl("list", "queue") == ""
    assert "no orphans" in agent.ask("agent", "clean")
    controller.wait_report(lambda report: controller.reports[-1].orphans == ())
    removals = [each for report in controller.reports for each in report.drifts if each.kind == "removal"]
    assert sorted(each.example.split()[0] for each in removals) == ["bridge", "queue"]
    assert all(each.by.endswith(": suimon agent clean") and "uid" in each.by and each.id for each in removals)


def test_an_agent_that_is_told_to_removes_orphans_by_itself_and_nothing_foreign(switch, controller, tmp_path) -> None:
    agent = AgentProcess(switch, tmp_path / "state", "--check-every", "0.4", "--remove-orphans")
    agent.join(controller, "--tunnel-ip", "192.0.2.1")
    try:
        controller.change(NETWORK, SUBNET, GROUP, *PORTS)
        agent.start()
        agent.wait_log("view_in_force")
        mark = "external_ids:suimon-owner=bridge/br-old"
        switch.vsctl("add-br", "br-theirs", "--", "set", "bridge", "br-theirs", f"datapath_type={DATAPATH}")
        switch.vsctl("add-br", "br-old", "--", "set", "bridge", "br-old", mark, f"datapath_type={DATAPATH}")
        agent.wait_log("orphans_removed")
        told = controller.wait_report(lambda report: any(each.kind == "removal" for each in report.drifts))
        assert [each.by for each in told.drifts] == ["the agent, as --remove-orphans says"]
        assert switch.vsctl("list-br").split() == ["br-int", "br-theirs"]
    finally:
        agent.stop()


def test_a_host_that_leaves_is_rid_of_its_namespaces_once_its_agent_was_stopped(switch, controller, agent) -> None:
    agent.wait_log("services_taken_up")
    clean = ("agent", "clean", "--namespaces", f"{switch.namespace}-")
    assert "another agent runs" in agent.ask(*clean)
    agent.kill()
    assert agent.ask(*clean) == f"removed: namespace {switch.namespace}-services\n"
    assert "sm-services" not in switch.exec("ip", "link")
    assert not list(Path("/run/netns").glob(f"{switch.namespace}-services"))
    assert agent.ask(*clean) == ""
    agent.start()
    told = controller.wait_report(lambda report: any(each.kind == "removal" for each in report.drifts))
    (removal,) = (each for each in told.drifts if each.kind == "removal")
    assert removal.example == f"namespace {switch.namespace}-services"


def test_a_new_vswitchd_is_told_with_the_gap_and_the_flows_come_in_one_bundle(switch, controller, agent) -> None:
    before = born(switch)
    killed = time.monotonic()
    switch.kill("ovs-vswitchd")
    switch.start_switch()
    agent.wait_log("switch_restored")
    took_ms = (time.monotonic() - killed) * 1000
    line = next(each for each in agent.log.read_text().splitlines() if "switch_restored" in each)
    assert 0 < int(line.split("gap_ms=")[1].split()[0]) <= took_ms + 100
    (drift,) = controller.wait_report(lambda report: report.drifts).drifts
    assert drift.missing >= len(before)
    assert "came back empty" in drift.example
    births = born(switch)
    assert births.keys() == before.keys()
    assert at_once(births.values())
