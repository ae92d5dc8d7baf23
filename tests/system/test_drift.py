"""What somebody else did to the switch is found, repaired by the smallest change, and told; what isn't ours is left."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from suimon.lab.births import at_once
from tests.patience import patient
from tests.system.agent_process import AgentProcess
from tests.system.openvswitch import DATAPATH, OpenVSwitch
from tests.system.test_agent import GROUP, NETWORK, PORTS, SUBNET, born, same_flows

FOREIGN = "cookie=0x77,table=251,priority=3,actions=drop"


@pytest.fixture
def agent(switch: OpenVSwitch, controller, tmp_path) -> Iterator[AgentProcess]:
    """With two guests, ACTIVE; it checks all the time."""
    one = AgentProcess(switch, tmp_path / "state", "--check-every", "0.4")
    one.join(controller, "--tunnel-ip", "192.0.2.1")
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
    switch.vsctl("set-fail-mode", "br-int", "standalone")
    # It forgets all flows, too: that may be found first.
    controller.wait_report(lambda report: any("table Bridge" in each.example for each in report.drifts))
    assert switch.vsctl("get-fail-mode", "br-int") == "secure"


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
    assert shown() != before
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
    assert switch.vsctl("list-br").split() == ["br-int", "br-theirs"]
    assert switch.vsctl("list", "queue") == ""
    assert "no orphans" in agent.ask("agent", "clean")
    controller.wait_report(lambda report: controller.reports[-1].orphans == ())


def test_a_host_that_leaves_is_rid_of_its_namespaces_once_its_agent_was_stopped(switch, controller, agent) -> None:
    agent.wait_log("services_taken_up")
    clean = ("agent", "clean", "--namespaces", f"{switch.namespace}-")
    assert "another agent runs" in agent.ask(*clean)
    agent.kill()
    assert agent.ask(*clean) == f"removed: namespace {switch.namespace}-services\n"
    assert "sm-services" not in switch.exec("ip", "link")
    assert not list(Path("/run/netns").glob(f"{switch.namespace}-services"))
    assert agent.ask(*clean) == ""


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
