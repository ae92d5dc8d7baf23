"""The loop: what it compiles, in which order it acts, and what it tells, on a switch in memory."""

import asyncio
import errno

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from suimon.agent.follower import Connected
from suimon.agent.number_log import NumberLog
from suimon.agent.saved import StateDirectory
from suimon.agent.view_log import ViewLog
from suimon.dataplane.openflow.messages import PacketIn
from suimon.dataplane.shaping import Shape
from suimon.model.owner import Owner
from suimon.model.view import BandwidthLimit, Delta, Peer, QosPolicy, Snapshot
from suimon.pipeline.flow import Entry, FlowKey
from suimon.pipeline.tables import Stage
from tests.agent.parts import NETWORK, FakeSwitch, Parts, at, port, snapshot


def flows_of(switch, owner):
    cookie = Owner(*owner.split("/")).cookie
    return [each for each, entry in switch.bridge.held.items() if isinstance(entry, Entry) and entry.cookie == cookie]


def scene(play):
    asyncio.run(play)


def test_nothing_is_touched_before_there_is_a_view(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        foreign = {FlowKey(Stage.CLASSIFY, 1, ()): Entry(Owner("port", "from-before").cookie, ())}
        switch.bridge.held = dict(foreign)
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 4)
            parts.take(Connected())
            await asyncio.sleep(0.05)
            assert switch.bridge.held == foreign
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
            assert not foreign.keys() & switch.bridge.held.keys()
            assert flows_of(switch, "port/p1")

    scene(play())


def test_frames_and_plugs_that_wait_share_one_bundle(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.take(snapshot(1))
            for number in range(1, 30):
                parts.take(Delta(at(number + 1), objects=(port(number),)))
                parts.enforcer.plug(f"p{number}", number)
            await parts.in_force(30)
            assert len(switch.bridge.applied) == 1
            assert {each.status for each in parts.desk.statuses.values()} == {"ACTIVE"}

    scene(play())


def test_the_log_line_of_a_view_in_force_names_the_requests_behind_it(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.take(snapshot(1))
            await parts.in_force(1)
            with capture_logs() as lines:
                parts.take(Delta(at(2), objects=(port(1),), requests=("req-a", "req-b")))
                parts.take(Delta(at(3), objects=(port(2),), requests=("req-b", "req-c")))
                await parts.in_force(3)
                parts.take(Delta(at(4), objects=(port(3),)))
                await parts.in_force(4)
            said = [(line["revision"], line["requests"]) for line in lines if line["event"] == "view_in_force"]
            assert said == [(3, ["req-a", "req-b", "req-c"]), (4, [])]

    scene(play())


def test_routers_namespaces_are_looked_at_when_a_session_begins_and_not_for_each_port(tmp_path):
    async def play():
        parts = Parts(tmp_path)
        known = parts.enforcer.nats_known
        async with parts.enforcing(FakeSwitch()):
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
            assert known.is_set()
            known.clear()
            parts.take(Delta(at(2), objects=(port(2),)))
            await parts.in_force(2)
            assert not known.is_set()
        async with parts.enforcing(FakeSwitch()), asyncio.timeout(30):
            await known.wait()

    scene(play())


def test_what_comes_during_a_bundle_is_acknowledged_by_the_next(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
            seen = []

            def meanwhile():
                parts.take(Delta(at(3), objects=(port(2),)))
                parts.enforcer.plug("p2", 2)
                switch.bridge.before_apply = lambda: seen.append((parts.desk.position, dict(parts.desk.statuses)))

            switch.bridge.before_apply = meanwhile
            parts.enforcer.plug("p3", 3)
            parts.take(Delta(at(2), objects=(port(3),)))
            await parts.in_force(3)
            (position, statuses), *_ = seen
            assert position == at(2)
            assert "p2" not in statuses
            assert parts.desk.statuses["p2"].status == "ACTIVE"

    scene(play())


def test_a_refused_owner_is_told_and_does_not_hold_up_the_others(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            for number in (1, 2):
                parts.enforcer.plug(f"p{number}", number)
            parts.take(snapshot(1, port(1), port(2)))
            await parts.in_force(1)
            before = flows_of(switch, "port/p1")
            bad = 0xFA163E0000AA
            switch.bridge.refuses = lambda key: isinstance(key, FlowKey) and any(each[1] == bad for each in key.match)
            changed = replace(port(1), mac="fa:16:3e:00:00:aa")
            parts.take(Delta(at(2), objects=(changed, port(3))))
            parts.enforcer.plug("p3", 3)
            await parts.in_force(2)
            told = parts.desk.statuses
            assert (told["p1"].status, told["p2"].status, told["p3"].status) == ("DOWN", "ACTIVE", "ACTIVE")
            assert "bad action" in told["p1"].reason
            assert "bad action" in parts.desk.failures["port/p1"]
            assert flows_of(switch, "port/p1") == before, "its old flows stay"
            switch.bridge.refuses = lambda key: False
            await parts.desk.until(lambda desk: desk.statuses["p1"].status == "ACTIVE")
            assert parts.desk.failures == {}

    scene(play())


def test_a_port_that_makes_no_sense_does_not_hold_up_the_others(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            broken = replace(port(1), mac="nonsense")
            parts.enforcer.plug("p1", 1)
            parts.enforcer.plug("p2", 2)
            parts.take(snapshot(1, broken, port(2)))
            await parts.in_force(1)
            assert (parts.desk.statuses["p1"].status, parts.desk.statuses["p2"].status) == ("DOWN", "ACTIVE")
            parts.take(Delta(at(2), objects=(port(1),)))
            await parts.in_force(2)
            assert parts.desk.statuses["p1"].status == "ACTIVE"

    scene(play())


def test_view_and_numbers_are_on_disk_before_the_switch_is_told(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        on_disk = []

        def look():
            state = StateDirectory(tmp_path)
            on_disk.append((ViewLog(state.view).load(), NumberLog(state.numbers).load()))

        async with parts.enforcing(switch):
            switch.bridge.before_apply = look
            parts.enforcer.plug("p1", 1)
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
        view, numbers = on_disk[0]
        assert view == parts.enforcer.guard.view
        assert numbers.dump() == parts.world.numbers.dump()
        assert numbers.dump().used["port"] == {"p1": 1}

    scene(play())


def test_while_the_disk_is_full_the_switch_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("suimon.agent.enforcer._DISK_RETRY_S", 0.01)

    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        write, full = parts.memory.write, True

        def writing(*arguments):
            if full:
                raise OSError(errno.ENOSPC, "No space left on device")
            write(*arguments)

        monkeypatch.setattr(parts.memory, "write", writing)
        async with parts.enforcing(switch):
            parts.take(snapshot(1, port(1)))
            await asyncio.sleep(0.05)
            assert switch.bridge.applied == []
            assert "No space left on device" in parts.desk.failures["bridge/br-int"]
            full = False
            await parts.in_force(1)
            assert parts.desk.failures == {}
            assert len(switch.bridge.applied) == 1

    scene(play())


def test_a_new_life_changes_nothing_in_the_switch_wherever_the_last_one_ended(tmp_path):
    async def play():
        switch = FakeSwitch()
        first = Parts(tmp_path)
        async with first.enforcing(switch):
            for number in (1, 2, 3):
                first.enforcer.plug(f"p{number}", number)
            first.take(snapshot(1, port(1), port(2), port(3)), Delta(at(2), deleted=(("port", "p2"),)))
            await first.in_force(2)
            first.take(Delta(at(3), objects=(port(4),)))
            first.enforcer.plug("p4", 4)
            await first.in_force(3)
        applied = len(switch.bridge.applied)
        second = Parts(tmp_path)
        for number in (1, 3, 4):
            second.enforcer.plug(f"p{number}", number)
        async with second.enforcing(switch):
            await second.in_force(3)
        assert len(switch.bridge.applied) == applied

    scene(play())


def test_a_lost_switch_is_observed_and_filled_again(tmp_path):
    async def play():
        parts, switch, empty = Parts(tmp_path), FakeSwitch(), FakeSwitch()
        parts.enforcer.plug("p1", 1)
        async with parts.enforcing(switch):
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
        parts.desk.position = None
        async with parts.enforcing(empty):
            await parts.in_force(1)
        assert empty.bridge.held == switch.bridge.held

    scene(play())


def test_limits_follow_the_interface_that_is_plugged_anew(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        policy = QosPolicy("q", (BandwidthLimit("ingress", 1000, 200),))
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.take(snapshot(1, policy, port(1, qos_id="q")))
            await parts.in_force(1)
            assert switch.shapes.held == {"p1": Shape(1000, 200)}
            switch.shapes.held.clear()
            parts.enforcer.plug("p1", 1)
            parts.take(Delta(at(2)))
            await parts.in_force(2)
            assert switch.shapes.held == {"p1": Shape(1000, 200)}
            parts.enforcer.plug("p1", None)
            parts.take(Delta(at(3)))
            await parts.in_force(3)
            assert switch.shapes.held == {}

    scene(play())


def test_a_zone_is_bounded_before_its_flows_come_and_as_long_as_there_is_the_port(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        bounded = []
        switch.bridge.before_apply = lambda: bounded.append(dict(switch.zones.held))
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.take(snapshot(1, port(1), port(2, security=False), port(3)))
            await parts.in_force(1)
            zone = parts.world.numbers.get("port", "p1")
            assert bounded[0] == switch.zones.held == {zone: True}, "who is nowhere yet opens nothing"
            parts.enforcer.plug("p1", None)
            parts.take(Delta(at(2)))
            await parts.in_force(2)
            assert switch.zones.held == {zone: True}, "what it opened before may still be remembered"
            parts.take(Delta(at(3), deleted=(("port", "p1"),)))
            await parts.in_force(3)
            assert switch.zones.held == {}

    scene(play())


def test_a_port_is_ready_where_the_switch_knows_no_limit_of_connections(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        switch.zones.refuses = lambda key: True
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
            assert parts.desk.statuses["p1"].status == "ACTIVE"
            assert parts.desk.failures == {"zone/port/p1": "bad action"}

    scene(play())


def test_a_deleted_ports_connections_are_forgotten_after_its_flows(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
            parts.take(Delta(at(2), deleted=(("port", "p1"),)))
            await parts.in_force(2)
            await asyncio.sleep(0)
            assert not flows_of(switch, "port/p1")
            assert switch.flushed == [1, 0x8001], "both of its zones"

    scene(play())


def test_connections_that_could_not_be_forgotten_are_tried_again_also_by_the_next_agent(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        switch.flushes = False
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
            for revision in (2, 3):
                parts.take(Delta(at(revision), deleted=(("port", "p1"),)))
                await parts.in_force(revision)
            await asyncio.sleep(0)
            assert switch.flushed == [1, 1]
        switch.flushes, second = True, Parts(tmp_path)
        async with second.enforcing(switch):
            await second.in_force(3)
            second.take(Delta(at(4)))
            await second.in_force(4)
            await asyncio.sleep(0)
        assert switch.flushed == [1, 1, 1, 0x8001]

    scene(play())


def test_status_says_why_a_port_is_down(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.enforcer.plug("p2", None, "could not open network device tap2")
            parts.enforcer.plug("p3", 3)
            parts.take(snapshot(1, port(1), port(2), port(3, up=False)))
            await parts.in_force(1)
            reasons = {name: each.reason for name, each in parts.desk.statuses.items() if each.status == "DOWN"}
            assert "iface-id=p1" in reasons["p1"]
            assert "could not open network device tap2" in reasons["p2"]
            assert "the port is administratively down" in reasons["p3"]
            parts.enforcer.plug("p1", 1)
            parts.take(Delta(at(2), objects=(replace(NETWORK, up=False),)))
            await parts.in_force(2)
            assert parts.desk.statuses["p1"].reason == "its network is administratively down"

    scene(play())


def test_an_interface_that_comes_before_its_port_is_missed_until_one_or_the_other_is_there(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.take(snapshot(1, port(1)))
            for number, ofport in ((1, 1), (2, 2), (3, 3), (4, None)):
                parts.enforcer.plug(f"p{number}", ofport)
            assert parts.desk.missed == {"p2", "p3"}
            parts.take(Delta(at(2), objects=(port(2),)))
            assert parts.desk.missed == {"p3"}
            parts.enforcer.plug("p3", None)
            assert parts.desk.missed == set()

    scene(play())


def test_a_guest_that_announces_itself_where_it_is_waited_for_gets_its_packets(tmp_path):
    waiting = port(1, active=False, others=("172.16.0.2",))

    def delivers(switch):
        return any(getattr(key, "stage", None) == Stage.DELIVER for key in switch.bridge.held)

    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.enforcer.wire({"vxlan": 8}, {})
            parts.take(snapshot(1, waiting))
            await parts.in_force(1)
            assert not delivers(switch)
            parts.enforcer.round_done.clear()
            parts.enforcer.arrived(PacketIn(Stage.BLOCK_OUT, 0, {"in_port": 1}, b""))
            await parts.enforcer.round_done.wait()
            assert delivers(switch)

    scene(play())


def test_a_held_view_is_told_and_changes_nothing_until_accepted(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
            before = dict(switch.bridge.held)
            parts.take(Snapshot(at(0, "other"), ()))
            assert "another store" in parts.desk.held
            await asyncio.sleep(0.02)
            assert switch.bridge.held == before
            assert parts.enforcer.accept()
            await parts.desk.until(lambda desk: desk.position == at(0, "other"))
            assert parts.desk.held == ""
            assert len(switch.bridge.held) < len(before)
            assert not parts.enforcer.accept()

    scene(play())


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("delete"), st.integers(1, 4), st.none()),
        st.tuples(st.just("plug"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("network"), st.booleans(), st.none()),
        st.tuples(st.just("wait"), st.none(), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(_steps)
def test_any_way_of_getting_there_ends_with_the_flows_of_a_fresh_start(tmp_path_factory, steps):
    """Incremental equals full: what a world compiles at once from the last view is what the switch came to hold."""
    path = tmp_path_factory.mktemp("state")

    async def play():
        parts, switch = Parts(path), FakeSwitch()
        revision = 1
        async with parts.enforcing(switch):
            parts.take(snapshot(revision))
            for step, what, how in steps:
                revision += 1
                match step:
                    case "set":
                        parts.take(Delta(at(revision), objects=(port(what, security=how),)))
                    case "delete":
                        parts.take(Delta(at(revision), deleted=(("port", f"p{what}"),)))
                    case "plug":
                        parts.enforcer.plug(f"p{what}", what if how else None)
                        parts.take(Delta(at(revision)))
                    case "network":
                        parts.take(Delta(at(revision), objects=(replace(NETWORK, up=what),)))
                    case "wait":
                        parts.take(Delta(at(revision)))
                        await parts.in_force(revision)
            parts.take(Delta(at(revision + 1)))
            await parts.in_force(revision + 1)
        fresh = Parts(path)
        for name, ofport in parts.world.ofports.items():
            fresh.enforcer.plug(name, ofport)
        again = FakeSwitch()
        async with fresh.enforcing(again):
            await fresh.in_force(revision + 1)
        assert again.bridge.held == switch.bridge.held

    scene(play())


def lose(switch, owner):
    """Somebody deletes all flows of an owner; how many."""
    gone = flows_of(switch, owner)
    for each in gone:
        del switch.bridge.held[each]
    return len(gone)


async def two_ports(parts, switch):
    for number in (1, 2):
        parts.enforcer.plug(f"p{number}", number)
    parts.take(snapshot(1, port(1), port(2)))
    await parts.in_force(1)


def test_what_drifted_is_repaired_before_it_is_told_and_no_port_was_down(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            await two_ports(parts, switch)
            held = dict(switch.bridge.held)
            told = []
            ports = parts.desk.ports
            parts.desk.ports = lambda statuses, gone: (told.append(statuses), ports(statuses, gone))
            missing = lose(switch, "port/p1")
            (drift,) = await parts.enforcer.repair()
            assert (drift.owner, drift.missing, drift.repaired, drift.reason) == ("port/p1", missing, True, "")
            assert "flow in" in drift.example
            assert switch.bridge.held == held
            assert len(switch.bridge.applied[-1].set) == missing
            assert {each.status for statuses in told for each in statuses.values()} <= {"ACTIVE"}, (
                "nothing new, or that"
            )
            assert {each.status for each in parts.desk.statuses.values()} == {"ACTIVE"}
            assert await parts.enforcer.repair() == []

    scene(play())


def test_only_the_ports_that_a_change_concerns_are_judged_again(tmp_path):
    async def play():
        parts, switch, told = Parts(tmp_path), FakeSwitch(), []
        async with parts.enforcing(switch):
            await two_ports(parts, switch)
            parts.desk.ports = lambda statuses, gone: told.append((set(statuses), gone))
            parts.take(
                Delta(at(2), objects=(Peer("q1", "net", "fa:16:3e:00:01:01", ("10.0.0.200",), "h2", "10.0.1.2"),))
            )
            await parts.in_force(2)
            assert told == []
            parts.take(Delta(at(3), objects=(port(1, up=False),)))
            await parts.in_force(3)
            parts.take(Delta(at(4), deleted=(("port", "p2"),)))
            await parts.in_force(4)
            assert told == [({"p1"}, set()), (set(), {"p2"})]

    scene(play())


def test_a_port_that_can_not_be_repaired_is_down_with_the_reason(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            await two_ports(parts, switch)
            lose(switch, "port/p1")
            switch.bridge.refuses = lambda key: True
            (drift,) = await parts.enforcer.repair()
            assert not drift.repaired
            assert "bad action" in drift.reason
            await parts.desk.until(lambda desk: desk.statuses["p1"].status == "DOWN")
            assert "bad action" in parts.desk.statuses["p1"].reason
            assert parts.desk.statuses["p2"].status == "ACTIVE"

    scene(play())


def test_drift_is_repaired_while_the_disk_is_full(tmp_path, monkeypatch):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            await two_ports(parts, switch)
            held = dict(switch.bridge.held)

            def full(*_arguments):
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(parts.memory, "write", full)
            parts.take(Delta(at(2), objects=(port(3),)))
            await parts.desk.until(lambda desk: "bridge/br-int" in desk.failures)
            assert lose(switch, "port/p1")
            (drift,) = await parts.enforcer.repair()
            assert drift.repaired
            assert switch.bridge.held == held, "the new port waits for the disk, the old ones don't"

    scene(play())


def test_a_switch_that_came_back_empty_is_told_with_its_gap(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            await two_ports(parts, switch)
            held = dict(switch.bridge.held)
        await asyncio.sleep(0)
        switch.bridge.held = {}
        parts.desk.position = None
        with capture_logs() as lines:
            async with parts.enforcing(switch):
                await parts.in_force(1)
        (said,) = [line for line in lines if line["event"] == "switch_restored"]
        assert (said["missing"], said["now"]) == (len(held), len(held))
        (drift,) = parts.desk.drifts
        assert (drift.owner, drift.missing) == ("bridge/br-int", len(held))
        assert len(switch.bridge.applied) == 2, "one bundle for the first life, one for the second"

    scene(play())
