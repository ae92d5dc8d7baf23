"""Laws of the compiler, for random changes in random order, sensible or not."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.fields import FIELDS
from suimon.pipeline.flow import Action, Ct, Flow, Goto, UseGroup, UseMeter
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.program import Program
from suimon.pipeline.world import World
from tests.pipeline.cloud import Cloud

HOST = "h1"
LINES = """
network blue vxlan 100
network red vxlan 200
network public vlan 300 physnet=ext external=yes
network public vlan 301 physnet=ext external=yes
network plain flat physnet=ext
network red gre 101
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
subnet blue4 blue 10.0.0.0/24 dhcp=no
subnet red4 red 10.0.1.0/24 gateway=10.0.1.1
subnet public4 public 203.0.113.0/24 gateway=203.0.113.1
subnet blue6 blue 2001:db8::/64 gateway=2001:db8::1 ra=slaac mode=slaac
subnet blue6 blue 2001:db8::/64 mode=dhcpv6-stateful
subnet red6 red 2001:db8:e::/64
subnet public6 public 2001:db8:f::/64 gateway=2001:db8:f::1
group a ingress:any egress:any
group a ingress6:tcp/80-89@b egress6:any@a ingress6:icmp6/128
group b ingress6:udp/53@2001:db8::/32 ingress6:any@b egress6:any stateful=no
group a ingress:tcp/80-89@b egress:any@a
group b ingress:udp/53@10.0.0.0/8 ingress:tcp/80-89@b
group b ingress:icmp@a
group c egress:any@c
group b ingress:udp/53@10.0.0.0/8 ingress:tcp/80-89@b ingress:icmp@a stateful=no
group c egress:any@c stateful=no
port vm1 h1 blue 02:00:00:00:00:01 10.0.0.11 groups=a qos=slow
port vm1 h1 blue 02:00:00:00:00:01 10.0.0.11 groups=a,b qos=slow pairs=02:00:00:00:00:71@10.0.0.64/28
port vm1 h1 blue 02:00:00:00:00:01 10.0.0.21 security=no
port vm1 h1 blue 02:00:00:00:00:01 10.0.0.11 2001:db8::11 groups=a,b pairs=02:00:00:00:00:71@2001:db8::40/124
port vm1 h1 blue 02:00:00:00:00:01 2001:db8::21 security=no
port vm2 h1 red 02:00:00:00:00:02 2001:db8:e::12 groups=b pairs=02:00:00:00:00:02@10.0.1.99
port vm1 h1 blue 02:00:00:00:00:01 10.0.0.11 groups=a up=no
port vm2 h1 blue 02:00:00:00:00:02 10.0.0.12 groups=b,a qos=nomail
port vm2 h1 blue 02:00:00:00:00:02 10.0.0.12 groups=b pairs=02:00:00:00:00:71@10.0.0.64/28
port vm2 h1 red 02:00:00:00:00:02 10.0.1.12 groups=c qos=nomail
port vm3 h1 public 02:00:00:00:00:03 203.0.113.13 groups=b
port vm3 h1 red 02:00:00:00:00:03 10.0.1.13 groups=b parent=vm1 vlan=20 qos=slow
port vm3 h1 red 02:00:00:00:00:03 10.0.1.13 groups=b parent=vm2 vlan=21
port vm4 h2 blue 02:00:00:00:00:04 10.0.0.14 groups=a
port vm4 h3 blue 02:00:00:00:00:04 10.0.0.14 groups=b,c pairs=02:00:00:00:00:71@10.0.0.64/28
port vm4 h2 blue 02:00:00:00:00:04 10.0.0.14 2001:db8::14 groups=a,b
port vm5 h2 red 02:00:00:00:00:05 10.0.1.15 groups=b
port vm5 h2 red 02:00:00:00:00:05 2001:db8:e::15 groups=b
router r1 blue4=10.0.0.1@02:00:00:00:fe:01
router r1 blue4=10.0.0.1@02:00:00:00:fe:01 red4=10.0.1.1@02:00:00:00:fe:02
router r1 red4=10.0.1.1@02:00:00:00:fe:02 gateway=public@203.0.113.2@02:00:00:00:fe:03@203.0.113.1
router r1 red4=10.0.1.1@02:00:00:00:fe:02 routes=192.0.2.0/24@10.0.1.15
router r1 blue4=10.0.0.1@02:00:00:00:fe:01 blue6=2001:db8::1@02:00:00:00:fe:01 red6=2001:db8:e::1@02:00:00:00:fe:02
router r1 blue6=2001:db8::1@02:00:00:00:fe:01 gateway=public@@02:00:00:00:fe:03@ six=2001:db8:f::2@2001:db8:f::1
router r1 red6=2001:db8:e::1@02:00:00:00:fe:02 routes=2001:db8:aaaa::/48@2001:db8:e::15
router r1 red4=10.0.1.1@02:00:00:00:fe:02 routes=192.0.2.0/24@10.0.1.15,192.0.2.0/24@10.0.1.16
floating f1 public 203.0.113.11 02:00:00:00:fa:11 port=vm1 router=r1
floating f1 public 203.0.113.12 02:00:00:00:fa:11 port=vm2 router=r1
qos slow limit:egress:10000 limit:ingress:20000
qos slow limit:egress:5000
qos slow limit:egress:5000 packets:egress:5 packets:ingress:5/1 dscp:-:26
qos nomail block:egress:tcp/25 block:ingress:udp/5000-5003
port vm1 h1 blue 02:00:00:00:00:01 10.0.0.11 groups=a qos=slow project=mine
port vm2 h1 blue 02:00:00:00:00:02 10.0.0.12 security=no project=mine cloud=yes
port vm2 h1 blue 02:00:00:00:00:02 10.0.0.12 2001:db8::12 groups=b project=mine
restrict r1 port vm1 port_block:both:tcp/25
restrict r1 port vm1 packet_rate_limit:both:3
restrict r1 port vm2 packet_rate_limit:ingress:4
restrict r1 network blue rate_limit:both:4000 ends=100
restrict r2 project mine port_block:egress:tcp/25
restrict r2 address 203.0.113.11 quarantine project=mine allowed=192.0.2.0/24
restrict r2 address 10.0.0.12 rate_limit:egress:3000 project=mine
restrict r3 outside_address 198.51.100.9 port_block
restrict r4 outside_address 198.51.100.9 port_block
restrict r4 network blue quarantine allowed=2001:db8:9::/64
"""


class State(msgspec.Struct):
    """What a world was told, as it is now."""

    objects: dict[view.Key, view.Object] = {}
    ofports: dict[str, int] = {}
    wire: tuple[dict[str, int], dict[str, int]] = ({}, {})
    learned: dict[tuple[str, str], str] = {}


def _things() -> list[view.Object]:
    """Each state that each object may be in; ports of other hosts come as peers, all as members of their groups."""
    cloud = Cloud()
    cloud.read("host h2 vtep=172.16.0.2")
    cloud.read("host h3 vtep=172.16.0.3")
    things: list[view.Object] = []
    for line in filter(None, LINES.splitlines()):
        cloud.read(line)
        name = tuple(line.split()[:2])
        kind = {"floating": "floating_ip", "restrict": "restriction"}.get(name[0], name[0])
        thing = cloud.objects[kind, name[1]]
        if isinstance(thing, view.Port):
            ips = tuple(fixed.ip for fixed in thing.fixed_ips)
            things += [view.Member(group, thing.id, ips) for group in thing.groups]
            if thing.host != HOST:
                vtep = cloud.hosts[thing.host].vtep
                macs = tuple(pair.mac for pair in thing.pairs)
                thing = view.Peer(thing.id, thing.network_id, thing.mac, ips, thing.host, vtep, macs)
        things.append(thing)
    return things


THINGS = _things()
OFPORTS = {"vm1": (1, 11), "vm2": (2, 12), "vm3": (3, 13)}

Change = tuple[str, object]
_set = st.sampled_from(THINGS).map(lambda thing: ("set", thing))
_delete = st.sampled_from([view.key(thing) for thing in THINGS]).map(lambda key: ("delete", key))
_plug = st.sampled_from([(name, ofport) for name, two in OFPORTS.items() for ofport in (*two, None)]).map(
    lambda plugged: ("plug", plugged)
)
_WIRES = [({"vxlan": 100, "gre": 104}, {"ext": 101}), ({}, {}), ({"vxlan": 102}, {"ext": 103})]
_wire = st.sampled_from(_WIRES).map(lambda wired: ("wire", wired))
_learn = st.sampled_from(["02:00:00:00:0f:01", "02:00:00:00:0f:02", None]).map(lambda mac: ("learn", mac))
_changes = st.lists(st.one_of(_set, _set, _delete, _plug, _wire, _learn), min_size=1, max_size=20)

EVERYTHING: list[Change] = [
    *(("set", thing) for thing in THINGS),
    *(("plug", (name, ofports[0])) for name, ofports in OFPORTS.items()),
    ("wire", ({"vxlan": 100}, {"ext": 101})),
    ("learn", "02:00:00:00:0f:01"),
]
_full = st.permutations(EVERYTHING)
_start = st.one_of(_full, _full, _full, st.just([]))
"""Most of the time all there can be, so that a change has something to touch."""


def tell(world: World, state: State, change: Change) -> None:
    match change:
        case ("set", thing):
            world.set(thing)  # type: ignore[arg-type]
            state.objects[view.key(thing)] = thing  # type: ignore[arg-type,index]
        case ("delete", key):
            world.delete(key)  # type: ignore[arg-type]
            state.objects.pop(key, None)  # type: ignore[call-overload]
        case ("plug", (str(name), ofport)):
            world.plug(name, ofport)
            state.ofports.pop(name, None)
            if ofport is not None:
                state.ofports[name] = ofport
        case ("wire", (dict(tunnels), dict(physnets))):
            world.wire(tunnels, physnets)
            state.wire = (tunnels, physnets)
        case ("learn", mac):
            nexthop = ("public", "203.0.113.1")
            world.learn(*nexthop, mac)  # type: ignore[arg-type]
            state.learned.pop(nexthop, None)
            if mac is not None:
                state.learned[nexthop] = mac  # type: ignore[assignment]


def fresh(state: State, numbers: Numbers, order: list[int]) -> World:
    """A world that is told only how things are now, in another order."""
    world = World(HOST, numbers)
    changes: list[Change] = [("set", thing) for thing in state.objects.values()]
    changes += [("plug", plugged) for plugged in state.ofports.items()]
    changes += [("wire", state.wire), *(("learn", mac) for mac in state.learned.values())]
    for index in order:
        changes.append(changes.pop(index % len(changes)))
    for change in changes:
        tell(world, State(), change)
    return world


def full(world: World) -> dict[Owner, Program]:
    return {owner: program for owner in world.owners() if (program := world.compile(owner)) != Program()}


def follow(world: World, held: dict[Owner, Program]) -> None:
    for owner in world.take_dirty():
        held[owner] = world.compile(owner)
        if held[owner] == Program():
            del held[owner]


@settings(deadline=None, max_examples=300)
@given(_start, _changes, st.lists(st.integers(0, 99), max_size=40))
def test_incremental_equals_full_and_order_does_not_matter(
    start: list[Change], changes: list[Change], order: list[int]
) -> None:
    world, state = World(HOST, Numbers()), State({}, {}, ({}, {}), {})
    held: dict[Owner, Program] = {}
    for change in start:
        tell(world, state, change)
    for change in changes:
        follow(world, held)
        tell(world, state, change)
        follow(world, held)
        check(held)
        assert held == full(world), f"not marked dirty, but changed by {change}"
    dump = world.numbers.dump()
    restarted = fresh(state, Numbers(dump), order)
    assert held == full(restarted), "the way there matters"
    assert restarted.numbers.dump() == dump, "a restart gives out other numbers"


@settings(deadline=None, max_examples=50)
@given(_start, _changes)
def test_nothing_stays_of_what_was_deleted(start: list[Change], changes: list[Change]) -> None:
    world, state = World(HOST, Numbers()), State({}, {}, ({}, {}), {})
    held: dict[Owner, Program] = {}
    follow(world, held)
    nothing = dict(held)
    for change in [*start, *changes]:
        tell(world, state, change)
    follow(world, held)
    for key in list(state.objects):
        tell(world, state, ("delete", key))
    tell(world, state, ("learn", None))
    tell(world, state, ("wire", ({}, {})))
    follow(world, held)
    assert held == nothing
    assert not any(world.numbers.dump().used.values()), "numbers are kept for what is gone"


def check(held: dict[Owner, Program]) -> None:
    """What a switch insists on: one flow for a key, prerequisites, goto only forward, groups and meters that exist."""
    flows = [flow for program in held.values() for flow in program.flows]
    groups = [group for program in held.values() for group in program.groups]
    meters = {meter.meter_id for program in held.values() for meter in program.meters}
    twice = [key for key, count in Counter(flow.key for flow in flows).items() if count > 1]
    assert not twice
    ids = {group.group_id for group in groups}
    assert len(ids) == len(groups)
    for flow in flows:
        _acceptable(flow)
        for action in flow.actions:
            assert not isinstance(action, UseGroup) or action.group_id in ids, f"no such group: {flow}"
            assert not isinstance(action, UseMeter) or action.meter_id in meters, f"no such meter: {flow}"


def _acceptable(flow: Flow) -> None:
    matched = {name: value for name, value, _ in flow.key.match}
    for name in matched:
        for needed, values in FIELDS[name].needs:
            assert matched.get(needed) in values, f"{name} needs {needed} to be one of {values}: {flow}"
        if name.startswith("ct_") and name != "ct_state":
            assert matched.get("ct_state"), f"{name} needs a ct_state: {flow}"
    for action in flow.actions:
        _forward(flow, action)


def _forward(flow: Flow, action: Action) -> None:
    if isinstance(action, Goto):
        assert action.stage > flow.key.stage, f"goto only goes forward: {flow}"
        assert action is flow.actions[-1], f"nothing follows goto: {flow}"
    if isinstance(action, Ct) and action.stage is not None:
        assert action.stage > flow.key.stage, f"tracked packets go forward: {flow}"
