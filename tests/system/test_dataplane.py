"""A real switch holds what we install, gives it back unchanged, and refuses in words: what hitless restarts rest on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Never

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from suimon.dataplane.exports import Export
from suimon.dataplane.layout import SERVICES, TUNNELS, Layout, Provider
from suimon.dataplane.openflow.connection import Config, Connection
from suimon.dataplane.openflow.target import BridgeTarget, GroupKey, MeterKey, bridge_entries
from suimon.dataplane.orphans import orphans
from suimon.dataplane.shaping import Shape, ShapingTarget
from suimon.dataplane.switch import Config as SwitchConfig
from suimon.dataplane.switch import Plugged, Switch
from suimon.model.owner import Owner
from suimon.pipeline.flow import (
    Bucket,
    Ct,
    Goto,
    Group,
    Output,
    Resubmit,
    ToController,
    UseGroup,
    UseMeter,
    flow,
    match,
    set_field,
)
from suimon.pipeline.tables import Stage
from suimon.reconcile import Changes, plan
from tests.dataplane.values import GROUP, METERS, OWNER, every_flow
from tests.patience import patient
from tests.system.namespaces import inside
from tests.system.openvswitch import OpenVSwitch

LOCAL = 0xFFFFFFFE


@contextlib.asynccontextmanager
async def serving(running: Coroutine[Any, Any, Never]) -> AsyncIterator[None]:
    task = asyncio.create_task(running)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await task


@contextlib.asynccontextmanager
async def followed(switch: OpenVSwitch) -> AsyncIterator[Switch]:
    model = Switch(SwitchConfig(rundir=switch.rundir))
    async with serving(model.run()):
        yield model


async def until(model: Switch, known: dict[str, Plugged], true: Callable[[], bool]) -> None:
    """Keep `known` by what is seen, as the agent does, until something holds."""
    async with asyncio.timeout(patient(10)):
        while not true():
            for port_id, plugged in (await model.changed()).plugged.items():
                if plugged is None:
                    del known[port_id]
                else:
                    known[port_id] = plugged


@contextlib.asynccontextmanager
async def connected(switch: OpenVSwitch, config: Config | None = None) -> AsyncIterator[Connection]:
    connection = Connection(config or Config(), switch.rundir / "br-int.mgmt")
    async with serving(connection.run()):
        yield connection


def test_what_is_installed_is_read_back_equal_and_nothing_is_sent_again(switch: OpenVSwitch) -> None:
    """Every field with and without a mask, every action, groups and meters."""
    switch.add_bridge()
    wanted = bridge_entries([*every_flow(), GROUP, *METERS])
    theirs = "table=42,priority=9,in_port=4,actions=drop"
    switch.ofctl("add-flow", "br-int", theirs)

    async def scenario() -> None:
        async with connected(switch) as connection:
            target = BridgeTarget(connection)
            assert await target.apply(plan(wanted, await target.observe())) == {}
        async with connected(switch) as connection:
            target = BridgeTarget(connection)
            actual = await target.observe()
            assert actual == wanted
            assert plan(wanted, actual).empty
            assert target.foreign.startswith("1 flows")
            assert await target.apply(plan({}, actual)) == {}
            assert await target.observe() == {}

    asyncio.run(scenario())
    left = switch.ofctl("dump-flows", "br-int", "--no-stats")
    assert [line for line in left.splitlines() if "priority" in line] != []
    assert "table=42, priority=9,in_port=4 actions=drop" in left, "a flow of somebody else was touched"


def test_what_somebody_changed_by_hand_is_repaired(switch: OpenVSwitch) -> None:
    switch.add_bridge()
    wanted = bridge_entries(
        [
            GROUP,
            *METERS,
            flow(Stage.LOOKUP, 10, OWNER, {"metadata": 1}, (UseGroup(GROUP.group_id),)),
            flow(Stage.LOOKUP, 10, OWNER, {"metadata": 2}, (UseMeter(METERS[0].meter_id), Output(2))),
        ]
    )
    cookie = f"cookie={OWNER.cookie:#x}"

    async def scenario() -> None:
        async with connected(switch) as connection:
            target = BridgeTarget(connection)
            assert await target.apply(plan(wanted, {})) == {}
            strange = "learn(table=3,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"
            switch.ofctl("mod-flows", "br-int", f"{cookie}/-1,table=42,metadata=1,actions={strange}")
            switch.ofctl("add-flow", "br-int", f"{cookie},table=250,priority=1,tcp6,nw_tos=4,actions=set_queue:3")
            switch.ofctl("mod-group", "br-int", f"group_id={GROUP.group_id},type=select,bucket=weight=5,output:1")
            switch.ofctl("mod-meter", "br-int", f"meter={METERS[0].meter_id},kbps,band=type=drop,rate=1")
            actual = await target.observe()
            changes = plan(wanted, actual)
            assert {type(key) for key in changes.set} >= {GroupKey, MeterKey}
            assert len(changes.set) == 3
            assert len(changes.delete) == 1
            assert await target.apply(changes) == {}
            assert await target.observe() == wanted

    asyncio.run(scenario())


def test_a_refused_flow_is_named_and_nothing_of_its_bundle_comes_true(switch: OpenVSwitch) -> None:
    switch.add_bridge()
    good = bridge_entries([flow(Stage.LOOKUP, n, OWNER, {"metadata": n}, (Output(1),)) for n in range(50)])
    undecodable = flow(Stage.RULES_IN, 7, OWNER, {"tcp_dst": 22}, (Output(1),))
    no_group = flow(Stage.LOOKUP, 8, OWNER, {"metadata": 99}, (UseGroup(0x5A000099),))
    backwards = flow(Stage.LOOKUP, 9, OWNER, {"metadata": 98}, (Goto(Stage.CLASSIFY),))

    async def scenario() -> None:
        async with connected(switch) as connection:
            target = BridgeTarget(connection)
            for bad, why in (
                (undecodable, "prerequisite"),
                (no_group, "group"),
                (backwards, "not later"),
            ):
                failures = await target.apply(Changes({**good, bad.key: bad.entry}))
                assert [key for key, failure in failures.items() if failure.blamed] == [bad.key]
                assert why in failures[bad.key].reason
                assert set(failures) == {*good, bad.key}
                assert await target.observe() == {}, "an atomic bundle came half true"
                assert set(await target.apply(Changes({bad.key: bad.entry}))) == {bad.key}, "nothing else in it"
            assert await target.apply(Changes(good)) == {}

    asyncio.run(scenario())


def test_a_bundle_that_is_committed_at_once_is_in_the_switch_when_it_is_acknowledged(switch: OpenVSwitch) -> None:
    """What the switch knows the shapes of: set, changed and deleted."""
    switch.add_bridge()
    before, after = (
        bridge_entries(flow(Stage.LOOKUP, n, OWNER, {"metadata": n}, (set_field("reg2", to),)) for n in range(50))
        for to in (1, 2)
    )

    async def scenario() -> None:
        async with connected(switch) as connection:
            target = BridgeTarget(connection)
            for changes, expected in 2 * [
                (Changes(before), before),
                (Changes(after), after),
                (Changes({}, tuple(after)), {}),
            ]:
                assert await target.apply(changes) == {}
                assert await target.observe() == expected
            # Groups come and go in any order, whatever they name.
            for one, other in ((0x5A000001, 0x5A000002), (0x5A000002, 0x5A000001), (0x5A000003, 0x5A000001)):
                groups = bridge_entries(
                    [
                        Group(one, OWNER, (Bucket((UseGroup(other),)), Bucket((UseGroup(0x5A000009),)))),
                        Group(other, OWNER, (Bucket((set_field("reg2", one & 0xFF), Resubmit(Stage.DELIVER))),)),
                    ]
                )
                assert await target.apply(plan(groups, await target.observe())) == {}
                assert await target.observe() == groups

    asyncio.run(scenario())


def test_unchanged_flows_are_not_touched_by_a_restart_of_ours(switch: OpenVSwitch) -> None:
    """Seen from outside: the switch's own ages of the flows go on counting."""
    switch.add_bridge()
    wanted = bridge_entries(
        flow(Stage.LOOKUP, 5, Owner("peer", str(n)), {"eth_dst": n + 1}, (set_field("reg2", n), Goto(Stage.DELIVER)))
        for n in range(2000)
    )

    async def run_once() -> None:
        async with connected(switch) as connection:
            target = BridgeTarget(connection)
            assert await target.apply(plan(wanted, await target.observe())) == {}

    asyncio.run(run_once())
    ages = _ages(switch)
    assert len(ages) == 2000
    asyncio.run(run_once())
    assert all(later >= earlier > 0 for earlier, later in zip(ages, _ages(switch), strict=True))


def _ages(switch: OpenVSwitch) -> list[float]:
    """Flow durations in seconds, sorted by flow."""
    dump = [line for line in switch.ofctl("dump-flows").splitlines() if "duration=" in line]
    found = sorted((line.split("priority=")[1], re.search(r"duration=([\d.]+)s", line)) for line in dump)
    return [float(age[1]) for _, age in found if age is not None]


def test_packets_come_to_us_with_their_registers_and_go_out_by_our_actions(switch: OpenVSwitch) -> None:
    switch.add_bridge()
    one = switch.add_guest("one", "02:00:00:00:00:01", "192.0.2.1/24")
    switch.add_guest("two", "02:00:00:00:00:02", "192.0.2.2/24")
    port = {"one": switch.ofport("tap0"), "two": switch.ofport("tap1")}
    flows = bridge_entries(
        [
            flow(
                Stage.CLASSIFY,
                10,
                OWNER,
                {"in_port": port["one"], "eth_type": 0x0806},
                (set_field("metadata", 7), set_field("reg1", 3), ToController()),
            ),
            flow(Stage.ANSWER, 10, OWNER, {"reg2": 5, "in_port": port["one"]}, (Output(port["two"]),)),
        ]
    )

    async def scenario() -> bytes:
        async with connected(switch) as connection:
            assert await BridgeTarget(connection).apply(Changes(flows)) == {}
            asking = await asyncio.create_subprocess_exec(
                *("ip", "netns", "exec", one, "ping", "-c1", f"-W{patient(1):g}", "192.0.2.2"),
                stdout=subprocess.DEVNULL,
            )
            async with asyncio.timeout(patient(10)):
                packet = await connection.packets.get()
            assert packet.cookie == OWNER.cookie
            assert packet.stage == Stage.CLASSIFY
            wanted = {"in_port": port["one"], "metadata": 7, "reg1": 3}
            assert {name: packet.fields.get(name) for name in wanted} == wanted
            assert packet.data[12:14] == b"\x08\x06"
            assert packet.data[6:12] == bytes.fromhex("020000000001")
            await connection.packet_out(
                (set_field("reg2", 5), Resubmit(Stage.ANSWER)), packet.data, match({"in_port": port["one"]})
            )
            await connection.dump_meters()
            asking.kill()
            await asking.wait()
            return packet.data

    asyncio.run(scenario())
    dump = switch.ofctl("dump-flows", "br-int", f"cookie={OWNER.cookie:#x}/-1,table={Stage.ANSWER:d}")
    assert "n_packets=1" in dump


def test_the_connections_of_one_zone_are_forgotten(switch: OpenVSwitch) -> None:
    switch.add_bridge()
    data = bytes(Ether() / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1000, dport=53))

    async def scenario() -> None:
        async with connected(switch) as connection:
            for zone in (7, 8):
                remember = (set_field("reg3", zone), Ct("reg3", commit=True))
                await connection.packet_out(remember, data, match({"in_port": LOCAL}))
            await connection.dump_meters()
            assert sorted(_zones(switch)) == [7, 8]
            await connection.flush_zone(7)

    asyncio.run(scenario())
    assert _zones(switch) == [8]


def _zones(switch: OpenVSwitch) -> list[int]:
    bridges = switch.vsctl("get", "bridge", "br-int", "datapath_type")
    datapath = "netdev@ovs-netdev" if bridges == "netdev" else "system@ovs-system"
    return [int(zone) for zone in re.findall(r"zone=(\d+)", switch.appctl("dpctl/dump-conntrack", datapath))]


def test_run_ends_when_the_switch_goes_and_requests_end_with_it(switch: OpenVSwitch) -> None:
    switch.add_bridge()

    async def scenario() -> None:
        connection = Connection(Config(timeout_s=5), switch.rundir / "br-int.mgmt")
        running = asyncio.create_task(connection.run())
        await connection.dump_flows()
        await asyncio.to_thread(switch.kill, "ovs-vswitchd")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(patient(5)):
                await running
        with pytest.raises(ConnectionError):
            await connection.dump_flows()

    asyncio.run(scenario())


LAYOUT = Layout(providers=(Provider("public", "up0"),), tunnel_ip="127.0.0.1", tunnels=("geneve",))
BARE = Layout()


def test_the_layout_is_made_once_and_then_nothing_is_written(switch: OpenVSwitch) -> None:
    switch.exec("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")

    async def ensure() -> Switch:
        async with followed(switch) as model:
            await model.ensure(LAYOUT)
            return model

    model = asyncio.run(ensure())
    ours = {"int-public", "phy-public", "up0", TUNNELS["geneve"]}
    assert {name for name, link in model.links.items() if link.ofport} == ours
    assert switch.vsctl("get-fail-mode", "br-int") == switch.vsctl("get-fail-mode", "br-public") == "secure"
    assert switch.vsctl("get", "interface", TUNNELS["geneve"], "options:remote_ip") == "flow"
    assert switch.ofctl("dump-flows", "br-int", "--no-stats").count("actions=") == 0, "a flow that we didn't make"
    written = switch.vsctl("get", "open_vswitch", ".", "next_cfg")
    log = (switch.home / "conf.db").stat().st_size
    asyncio.run(ensure())
    assert (switch.vsctl("get", "open_vswitch", ".", "next_cfg"), (switch.home / "conf.db").stat().st_size) == (
        written,
        log,
    )

    async def repaired_and_pruned() -> None:
        switch.vsctl("set-fail-mode", "br-int", "standalone")
        switch.vsctl("set", "interface", TUNNELS["geneve"], "options:local_ip=192.0.2.9")
        switch.vsctl("add-br", "theirs", "--", "set", "bridge", "theirs", "datapath_type=netdev")
        async with followed(switch) as model:
            await model.ensure(LAYOUT)
            assert switch.vsctl("get-fail-mode", "br-int") == "secure"
            assert switch.vsctl("get", "interface", TUNNELS["geneve"], "options:local_ip") == '"127.0.0.1"'
            found = list(orphans(Layout(), model.mirror, lambda owner: False))
            await model.transact([one.removal for one in found])
            assert not list(orphans(Layout(), model.mirror, lambda owner: False))
        assert switch.vsctl("list-br").split() == ["br-int", "theirs"]
        assert switch.vsctl("list-ports", "br-int") == TUNNELS["geneve"], "it stays for the next network of its kind"

    asyncio.run(repaired_and_pruned())


def test_a_port_that_is_being_taken_up_anew_is_no_difference(switch: OpenVSwitch) -> None:
    """Were it written while the switch has yet to let go of it, the switch would go on with the device it has."""
    switch.exec("ip", "link", "add", SERVICES, "type", "veth", "peer", "name", "there")
    wanted, elsewhere = Layout(services=True), ("--no-wait", "set", "bridge", "br-int", "external_ids:seen=1")

    def rows(model: Switch) -> list[str]:
        return [uuid for uuid, row in model.mirror.interfaces.rows.items() if row.name == SERVICES]

    async def scenario() -> None:
        async with followed(switch) as model:
            await model.ensure(wanted)
            before = rows(model)
            await model.changed()
            daemon = int((switch.rundir / "ovs-vswitchd.pid").read_text())
            os.kill(daemon, signal.SIGSTOP)
            try:
                reopening = asyncio.create_task(model.reopen(SERVICES, wanted))
                assert (await model.changed()).links == {SERVICES: None}
                checking = asyncio.create_task(model.repair(wanted))
                await asyncio.to_thread(switch.vsctl, *elsewhere)
                assert not rows(model)
            finally:
                os.kill(daemon, signal.SIGCONT)
            await reopening
            assert await checking == []
            assert len(rows(model)) == 1
            assert rows(model) != before

    asyncio.run(scenario())


def test_guests_are_seen_plugged_failing_changing_and_unplugged(switch: OpenVSwitch) -> None:
    async def scenario() -> None:
        async with followed(switch) as model:
            await model.ensure(BARE)
            known: dict[str, Plugged] = {}
            guest = await asyncio.to_thread(switch.add_guest, "one", "02:00:00:00:00:01", "192.0.2.1/24")
            await until(model, known, lambda: "one" in known and known["one"].up)
            assert known["one"].ofport == switch.ofport("tap0")
            await asyncio.to_thread(switch.plug, "no-such-dev", "two")
            await until(model, known, lambda: "two" in known and known["two"].error != "")
            assert known["two"].ofport is None
            assert "no-such-dev" in known["two"].error
            await asyncio.to_thread(switch.exec, "ip", "link", "set", "eth0", "down", guest=guest)
            await until(model, known, lambda: not known["one"].up)
            await asyncio.to_thread(switch.unplug, "tap0")
            await until(model, known, lambda: "one" not in known)
            assert known == model.plugged

    asyncio.run(scenario())


def test_a_dead_database_ends_run_and_what_waits_on_it(switch: OpenVSwitch) -> None:
    async def scenario() -> None:
        model = Switch(SwitchConfig(rundir=switch.rundir))
        running = asyncio.create_task(model.run())
        await model.ready()
        await asyncio.to_thread(switch.kill, "ovsdb-server")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(patient(5)):
                await running
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(patient(5)):
                await model.changed()

    asyncio.run(scenario())


def test_shapes_come_go_and_leave_those_of_others_alone(switch: OpenVSwitch) -> None:
    async def scenario() -> None:
        async with followed(switch) as model:
            await model.ensure(BARE)
            for port_id, mac in (("one", "02:00:00:00:00:01"), ("two", "02:00:00:00:00:02")):
                await asyncio.to_thread(switch.add_guest, port_id, mac)
            known: dict[str, Plugged] = {}
            await until(model, known, lambda: {"one", "two"} <= set(known))
            theirs = ["set", "port", "tap1", "qos=@q", "--", "--id=@q", "create", "qos", "type=linux-htb"]
            await asyncio.to_thread(switch.vsctl, *theirs)
            target = ShapingTarget(model)
            wanted = {"one": Shape(10_000, 1_000), "two": Shape(10_000)}
            failed = await target.apply(plan(wanted, await target.observe()))
            assert list(failed) == ["two"]
            assert "not ours" in failed["two"].reason
            assert await target.observe() == {"one": wanted["one"]}
            assert "10Mbit" in await asyncio.to_thread(switch.exec, "tc", "class", "show", "dev", "tap0")
            changed = {"one": Shape(20_000)}
            assert await target.apply(plan(changed, await target.observe())) == {}
            assert await target.observe() == changed
            assert len(switch.vsctl("--columns=_uuid", "list", "qos").split("_uuid")) == 1 + 2, "a row was left behind"
            # A guest that restarts gets a new port: its limit is seen to be gone, and comes back.
            await asyncio.to_thread(switch.unplug, "tap0")
            await until(model, known, lambda: "one" not in known)
            await asyncio.to_thread(switch.plug, "tap0", "one")
            await until(model, known, lambda: "one" in known and known["one"].ofport is not None)
            assert await target.observe() != changed
            assert await target.apply(plan(changed, await target.observe())) == {}
            assert await target.observe() == changed
            assert await target.apply(plan({}, await target.observe())) == {}
            assert switch.vsctl("--columns=_uuid", "list", "queue") == ""
            assert switch.vsctl("get", "port", "tap1", "qos") != "[]"

    asyncio.run(scenario())


def test_a_limit_is_not_called_true_before_the_switch_acted_on_it(switch: OpenVSwitch) -> None:
    """The database alone would accept it: a daemon that is stopped must not count as a limit in force."""

    async def scenario() -> None:
        model = Switch(SwitchConfig(rundir=switch.rundir, timeout_s=2))
        async with serving(model.run()):
            await model.ensure(BARE)
            await asyncio.to_thread(switch.add_guest, "one", "02:00:00:00:00:01")
            await until(model, {}, lambda: "one" in model.plugged and model.plugged["one"].ofport is not None)
            daemon = int((switch.rundir / "ovs-vswitchd.pid").read_text())
            os.kill(daemon, signal.SIGSTOP)
            try:
                with pytest.raises(TimeoutError, match="is it running"):
                    await ShapingTarget(model).apply(Changes({"one": Shape(10_000)}))
            finally:
                os.kill(daemon, signal.SIGCONT)

    asyncio.run(scenario())


def test_samples_are_exported_by_the_interface_s_index_until_it_is_switched_off(switch: OpenVSwitch) -> None:
    """And one of somebody else's stays as it is."""
    collector = inside(switch.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    collector.bind(("127.0.0.1", 0))
    collector.settimeout(patient(10))
    wanted = Layout(export=Export(f"127.0.0.1:{collector.getsockname()[1]}", "192.0.2.1", sampling=1, every_s=1))

    async def scenario() -> None:
        async with followed(switch) as model:
            await model.ensure(wanted)
            assert model.differences(wanted) == []
            switch.add_guest("p0", "02:00:00:00:00:01")
            known: dict[str, Plugged] = {}
            index = int(switch.exec("cat", "/sys/class/net/tap0/ifindex"))
            await until(model, known, lambda: "p0" in known and known["p0"].ifindex == index)
            datagram = await asyncio.to_thread(collector.recv, 9000)
            assert datagram[4:12] == bytes([0, 0, 0, 1, 192, 0, 2, 1]), "an IPv4 agent, as it was told (sFlow v5)"
            await model.ensure(Layout())
            assert switch.vsctl("list", "sflow") == ""
            theirs = ["--id=@s", "create", "sflow", "targets=192.0.2.7"]
            switch.vsctl("--", *theirs, "--", "set", "bridge", "br-int", "sflow=@s")
            await model.transact(())  # What was written before is known once this is.
            for layout in (wanted, Layout()):
                await model.ensure(layout)
                assert switch.vsctl("--bare", "--columns=targets", "list", "sflow") == "192.0.2.7"

    with collector:
        asyncio.run(scenario())
