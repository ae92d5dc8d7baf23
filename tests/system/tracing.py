"""A packet's way through the simulated switch held against `ofproto/trace` on a real one.

A real switch gets the flows by our own OpenFlow client. Compared are, for each
stretch between two visits to the connection tracker: every lookup (table, priority and cookie of the flow met, or the
miss), what is sent out of which port or to the agent, and the packet as it leaves or goes to the tracker, registers
included. `ofproto/trace` does not track: the state of each connection is stated, by `--ct-next` for what follows a
stretch and in the initial flow for the stretch itself, which starts at its stage through an entry flow of the test's
own, because after `--ct-next` the tuple of the connection (ct_nw_src …) is lost. So what is *not* compared here is the
connection tracker itself, nor what meters drop.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

import msgspec

from suimon.dataplane.openflow.connection import Config, Connection
from suimon.dataplane.openflow.target import BridgeTarget
from suimon.dataplane.trace import chosen
from suimon.dataplane.unixctl import command
from suimon.pipeline.fields import FIELDS
from suimon.pipeline.flow import CheckLarger, PopVlan, UseGroup
from suimon.pipeline.simulate import Packet, Result, Sent, Step
from suimon.pipeline.tables import Stage
from tests.patience import patient
from tests.system.openvswitch import OpenVSwitch

OFPORTS = (1, 2, 3, 5, 101)
TUNNELS = {"vxlan": 100, "gre": 102, "geneve": 103}
ENTRY = "reg15"
"""It is 0 wherever a stretch begins: with a stage's number in it, a traced packet starts there."""

CT_FLAGS = {0x20: "trk", 0x01: "new", 0x02: "est", 0x04: "rel", 0x08: "rpl", 0x10: "inv"}
SPELLING = {
    "eth_src": "dl_src",
    "eth_dst": "dl_dst",
    "eth_type": "dl_type",
    "ip_proto": "nw_proto",
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
    "ip_frag": "nw_frag",
    "ip_ttl": "nw_ttl",
    "ip_ecn": "nw_ecn",
}
"""Our name → the one that Open vSwitch prints."""
PROTOCOLS = {
    "arp": {"eth_type": 0x0806},
    "ip": {"eth_type": 0x0800},
    "icmp": {"eth_type": 0x0800, "ip_proto": 1},
    "tcp": {"eth_type": 0x0800, "ip_proto": 6},
    "udp": {"eth_type": 0x0800, "ip_proto": 17},
    "sctp": {"eth_type": 0x0800, "ip_proto": 132},
    "sctp6": {"eth_type": 0x86DD, "ip_proto": 132},
    "ipv6": {"eth_type": 0x86DD},
    "icmp6": {"eth_type": 0x86DD, "ip_proto": 58},
    "tcp6": {"eth_type": 0x86DD, "ip_proto": 6},
    "udp6": {"eth_type": 0x86DD, "ip_proto": 17},
}
FIRST = ("in_port", "eth_type", "ip_proto", "arp_op", "icmpv6_type", "icmpv6_code", "ct_state")
"""The others need these before them."""

_SPREADING = (Stage.ROUTE, Stage.FIT, Stage.LEAVE)
"""Where a router has several next hops."""
_FRAGMENT = {"no": 0, "first": 1, "later": 3}

_LOOKUP = re.compile(r"^ *(\d+)\. (.*)$")
_OUTPUT = re.compile(r"^ *(?:output:(\d+)|(IN_PORT|in_port)|(CONTROLLER|controller).*)$")


class Stretch(msgspec.Struct):
    """What the simulated packet did between two visits to the connection tracker."""

    steps: list[Step]
    sent: list[Sent]


class Section(msgspec.Struct):
    """The same, as `ofproto/trace` tells it."""

    flow: dict[str, int]
    lookups: list[tuple[int, int, int] | tuple[int]]
    outputs: list[str]
    forks: int
    final: dict[str, int]


def prepare(switch: OpenVSwitch, ofports: Iterable[int] = OFPORTS) -> None:
    """A bridge with these ports and the tunnels, and the entry flows."""
    switch.add_bridge()
    for ofport in ofports:
        port = f"p{ofport}"
        switch.vsctl(
            *("add-port", "br-int", port, "--"),
            *("set", "interface", port, "type=internal", f"ofport_request={ofport}"),
        )
        assert switch.ofport(port) == ofport
    for kind, ofport in TUNNELS.items():
        switch.vsctl(
            *("add-port", "br-int", f"sm-{kind}", "--", "set", "interface", f"sm-{kind}", f"type={kind}"),
            *(f"ofport_request={ofport}", "options:remote_ip=flow", "options:key=flow"),
        )
    for stage in [stage for stage in Stage if stage is not Stage.CLASSIFY]:
        actions = f"actions=set_field:0->{ENTRY},resubmit(,{stage.value})"
        switch.ofctl("add-flow", "br-int", f"table=0,priority=65535,{ENTRY}={stage.value},{actions}")


@contextlib.asynccontextmanager
async def connected(switch: OpenVSwitch) -> AsyncIterator[BridgeTarget]:
    """The bridge as the product reads and writes it."""
    connection = Connection(Config(timeout_s=patient(15)), switch.rundir / "br-int.mgmt")
    serving = asyncio.create_task(connection.run())
    try:
        yield BridgeTarget(connection)
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await serving


async def compare(switch: OpenVSwitch, name: str, result: Result) -> bool:
    """Whether the real switch could be asked for the whole way. Raises AssertionError where it takes another one;
    `name` says which packet it is.
    """
    stretches = _stretches(result)
    following = 1
    for stretch in stretches:
        first = stretch.steps[0]
        if _untold(first.packet):
            return False
        later = stretches[following:]
        stated = [word for one in later for word in ("--ct-next", _ct_state(one.steps[0].packet, ","))]
        asked = ("br-int", _initial(first), *stated)
        text = await command(switch.control, "ofproto/trace", *asked, timeout_s=patient(10))
        sections = list(_sections(text, first.packet.size))
        real = sections[0]
        told = f"{name}\n{text}"
        entry: list[tuple[int, int, int] | tuple[int]] = [(0, 65535, 0)] if first.resumed else []
        if spread(stretch.steps):
            # Which of the ways it goes on, the datapath will say by a hash that no trace computes.
            assert real.lookups == [*entry, *map(_lookup, stretch.steps)][: len(real.lookups)], told
            assert real.lookups[-1][0] in _SPREADING, told
            return False
        assert real.lookups == [*entry, *map(_lookup, stretch.steps)], told
        assert sorted(real.outputs) == sorted(_outputs(stretch)), told
        forked = later[: real.forks]
        assert len(sections) > len(forked) == real.forks, told
        for child, section in zip(forked, sections[1:], strict=False):
            assert section.flow == _known(child.steps[0].packet), told
        if len(stretch.sent) == 1 and not _copied(stretch):
            assert real.final == _known(_afterwards(stretch.sent[0])), told
        following += real.forks
    assert following == len(stretches), f"{name}: the simulated switch tracked more often"
    return True


def _untold(packet: Packet) -> bool:
    """An ICMP error about a connection, in the direction that opened it: `ofproto/trace` takes no tuple of a connection
    with `trk|rel` alone, though its own tracker says just that.
    """
    return _ct_state(packet, "|") == "trk|rel" and bool(packet.fields.get("ct_nw_proto"))


def _stretches(result: Result) -> list[Stretch]:
    stretches: list[Stretch] = []
    for step in result.steps:
        if step.resumed or not stretches:
            stretches.append(Stretch([], []))
        stretches[-1].steps.append(step)
        stretches[-1].sent += (sent for sent in result.sent if sent.step is step)
    return stretches


def _lookup(step: Step) -> tuple[int, int, int] | tuple[int]:
    if step.flow is None:
        return (step.stage.value,)
    if any(name == "conj_id" for name, *_ in step.flow.key.match):
        return step.stage.value, step.flow.key.priority, 0
    return step.stage.value, step.flow.key.priority, step.flow.owner.cookie


def _outputs(stretch: Stretch) -> Iterator[str]:
    for sent in stretch.sent:
        yield str(sent.ofport)
    for step in stretch.steps:
        yield from ["controller"] * step.handed


def _copied(stretch: Stretch) -> bool:
    """Whether a group or a look at the length made copies: then the flow at the end isn't the packet that was sent."""
    return any(
        isinstance(action, UseGroup | CheckLarger)
        for step in stretch.steps
        if step.flow
        for action in step.flow.actions
    )


def _afterwards(sent: Sent) -> Packet:
    """What was sent, as it is when the flow that sent it is done: a subport's tag is off again."""
    ends = sent.step.flow.actions[-1:] if sent.step.flow else ()
    return sent.packet.with_fields({"vlan_vid": 0}) if ends == (PopVlan(),) else sent.packet


def spread(steps: Iterable[Step]) -> bool:
    """Whether a router chose among several next hops."""
    routed = [step for step in steps if step.stage in _SPREADING and step.flow]
    return any(isinstance(action, UseGroup) for step in routed if step.flow for action in step.flow.actions)


def _initial(step: Step) -> str:
    """The stretch's first packet as `ofproto/trace` takes a flow."""
    fields = {name: value for name, value in step.packet.fields.items() if value}
    if step.resumed:
        fields[ENTRY] = step.stage.value
    names = sorted(fields, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return ",".join(_written(name, fields[name], step.packet) for name in names)


def _written(name: str, value: int, packet: Packet) -> str:
    if name == "ct_state":
        return f"ct_state={_ct_state(packet, '|')}"
    if name == "vlan_vid":
        return f"vlan_tci={value:#x}"
    if name == "ip_frag":
        return f"nw_frag={next(word for word, number in _FRAGMENT.items() if number == value)}"
    match FIELDS[name].form:
        case "mac":
            text = value.to_bytes(6, "big").hex(":")
        case "ipv4":
            text = str(IPv4Address(value))
        case "ipv6":
            text = str(IPv6Address(value))
        case _:
            text = str(value)
    return f"{SPELLING.get(name, name)}={text}"


def _ct_state(packet: Packet, separator: str) -> str:
    return separator.join(flag for bit, flag in CT_FLAGS.items() if packet.fields["ct_state"] & bit)


def _known(packet: Packet) -> dict[str, int]:
    """What both sides tell of a packet.

    Not the connection's tuple and mark, which `--ct-next` forgets; nor what is not printed: a tunnel's id beside its
    ends, the flags of neighbour discovery and the kind of its option.
    """
    unprinted = ("ct_nw", "ct_ipv6", "ct_tp", "ct_mark", "nd_reserved", "nd_options_type")
    silent = (*unprinted, *(["tun_id"] if packet.fields.get("tun_dst") else []))
    return {name: value for name, value in packet.fields.items() if value and not name.startswith(silent)}


def _sections(text: str, size: int) -> Iterator[Section]:
    for part in re.split(r"\n=+\nrecirc.*\n=+\n", text):
        lines = chosen(part, size).splitlines()
        started = _read(next(line for line in lines if line.startswith("Flow: "))[6:])
        ended = next(line for line in lines if line.startswith("Final flow: "))[12:]
        in_port = str(started.get("in_port", 0))
        section = Section(started, [], [], 0, started if ended == "unchanged" else _read(ended))
        for line, after in zip(lines, [*lines[1:], ""], strict=True):
            if found := _LOOKUP.match(line):
                section.lookups.append(_met(int(found[1]), found[2]))
            elif (found := _OUTPUT.match(line)) and "skipping output to input port" not in after:
                section.outputs.append(found[1] or (in_port if found[2] else "controller"))
            section.forks += "A clone of the packet is forked to recirculate" in line
        yield section


def _met(table: int, text: str) -> tuple[int, int, int] | tuple[int]:
    if text.startswith("No match"):
        return (table,)
    if "conj_id=" in text:
        # Of several conjunctions that hold, the switch takes any, and they all do the same: whose it is, is not said.
        text = re.sub(r"cookie 0x[0-9a-f]+", "", text)
    priority, cookie = re.search(r"priority (\d+)", text), re.search(r"cookie (0x[0-9a-f]+)", text)
    return table, int(priority[1]) if priority else 32768, int(cookie[1], 16) if cookie else 0


def _read(text: str) -> dict[str, int]:
    """A flow as `ofproto/trace` prints it, under our names; fields that are 0 are left out."""
    words = text.split(",")
    fields = {name: value for name, _, value in (word.partition("=") for word in words) if value}
    protocol = next((PROTOCOLS[word] for word in words if word in PROTOCOLS), {})
    l4 = {6: "tcp", 17: "udp", 132: "sctp"}.get(protocol.get("ip_proto", 0))
    read = dict(protocol)
    for name, value in fields.items():
        ours = {spelled: name for name, spelled in SPELLING.items()}.get(name, name)
        if name in ("tp_src", "tp_dst"):
            ours = f"{l4}{name[2:]}"
        elif name in ("icmp_type", "icmp_code") and protocol.get("ip_proto") == 58:
            ours = f"icmpv6{name[4:]}"
        elif name == "nw_tos":
            read["ip_dscp"] = int(value) >> 2
        elif name == "dl_vlan":
            read["vlan_vid"] = 0x1000 | int(value)
        if ours in FIELDS and not ours.startswith(("ct_nw", "ct_ipv6", "ct_tp", "ct_mark")):
            read[ours] = _number(FIELDS[ours].form, value)
    return {name: value for name, value in read.items() if value}


def _number(form: str, text: str) -> int:
    if text in _FRAGMENT:
        return _FRAGMENT[text]
    if text == "ANY":
        # No port of the bridge: an in_port of 0, once the packet was tracked.
        return 0
    if "|" in text or text in CT_FLAGS.values():
        return sum(bit for bit, flag in CT_FLAGS.items() if flag in text.split("|"))
    match form:
        case "mac":
            return int(text.replace(":", ""), 16)
        case "ipv4":
            return int(IPv4Address(text))
        case "ipv6":
            return int(IPv6Address(text))
    return int(text, 0)
