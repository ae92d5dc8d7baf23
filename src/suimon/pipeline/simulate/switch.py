"""The switch that runs a packet through flows: lookups, actions, recirculation."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from typing import Final
from zlib import crc32

import msgspec

from suimon.model.owner import Owner
from suimon.pipeline.fields import FIELDS, INGRESS, registers
from suimon.pipeline.flow import (
    IN_PORT,
    Action,
    Actions,
    Bucket,
    CheckLarger,
    Conjunction,
    Ct,
    DecTtl,
    Flow,
    Goto,
    Group,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
    UseGroup,
    UseMeter,
)
from suimon.pipeline.simulate.conntrack import UNTRACKED, Conntrack
from suimon.pipeline.simulate.packet import ETHERNET_BYTES, Packet
from suimon.pipeline.tables import ASIDE, Stage

_VLAN_PRESENT: Final = 0x1000
_MAX_DEPTH: Final = 64
"""Nested resubmits to the same or an earlier table before Open vSwitch gives up (ovs-actions(7), resubmit)."""
_FIVE_TUPLE: Final = (
    *("ip_proto", "ipv4_src", "ipv4_dst", "ipv6_src", "ipv6_dst"),
    *("tcp_src", "tcp_dst", "udp_src", "udp_dst"),
)
_MAX_LOOKUPS: Final = 4096


class Step(msgspec.Struct):
    """One lookup: the packet as it came into `stage` and the flow it met (None: a miss, which drops).

    `clauses` are the flows whose conjunction led to `flow`; `rivals` are flows of the same priority that also matched
    and do something else, which OpenFlow leaves undefined: a fault of ours. `resumed` marks the first lookup after the
    connection tracker, or of what an agent sent on; `note` says what stopped an action, `handed` how many copies the
    agent got.
    """

    stage: Stage
    packet: Packet
    flow: Flow | None
    clauses: tuple[Flow, ...] = ()
    rivals: tuple[Flow, ...] = ()
    resumed: bool = False
    note: str = ""
    handed: int = 0


class Sent(msgspec.Struct, frozen=True):
    """A packet that left by OpenFlow port `ofport`, and the lookup that sent it."""

    ofport: int
    packet: Packet
    step: Step


class Drop(msgspec.Struct, frozen=True):
    """Where a packet ended that went nowhere; `owner` is None where no flow matched."""

    stage: Stage
    owner: Owner | None
    reason: str


class Result(msgspec.Struct, frozen=True):
    """All that became of one packet; `steps` in the order of the lookups."""

    sent: tuple[Sent, ...]
    to_controller: tuple[Packet, ...]
    steps: tuple[Step, ...]

    @property
    def outputs(self) -> tuple[tuple[int, Packet], ...]:
        return tuple((sent.ofport, sent.packet) for sent in self.sent)

    @property
    def last(self) -> Step:
        """The last lookup that had a say."""
        return next(step for step in reversed(self.steps) if step.stage not in ASIDE)

    @property
    def drop(self) -> Drop | None:
        """The last lookup of a packet that went nowhere."""
        if self.sent or self.to_controller:
            return None
        last = self.last
        reason = last.note or ("dropped there" if last.flow else "nothing matched")
        return Drop(last.stage, last.flow.owner if last.flow else None, reason)


class Switch:
    """One bridge. Keep `conntrack` to carry connections on to a switch with other flows, as a real one would.

    A packet that meets a meter in `exceeded` is dropped by it.
    """

    def __init__(
        self,
        flows: Iterable[Flow],
        groups: Iterable[Group] = (),
        conntrack: Conntrack | None = None,
        exceeded: Collection[int] = (),
    ) -> None:
        self.conntrack = conntrack if conntrack is not None else Conntrack()
        self.groups = {group.group_id: group for group in groups}
        self.exceeded = frozenset(exceeded)
        tables: defaultdict[Stage, _Table] = defaultdict(_Table)
        for flow in flows:
            tables[flow.key.stage].add(flow)
        self._tables = dict(tables)

    def process(self, packet: Packet, stage: Stage = Stage.CLASSIFY) -> Result:
        """Run a packet that arrives on the port in its field in_port; or one that an agent sends on from a later stage,
        with what its registers said.
        """
        walk = _Walk(self)
        walk.run(packet, stage)
        return Result(tuple(walk.sent), tuple(walk.to_controller), tuple(walk.steps))

    def look_up(self, stage: Stage, packet: Packet) -> Step:
        """The flow of highest priority that matches in a stage."""
        table = self._tables.get(stage)
        return table.look_up(stage, packet) if table else Step(stage, packet, None)


class _Table:
    """The flows of one stage as a tuple space: a dictionary from values to flows for every set of masked fields."""

    def __init__(self) -> None:
        self._spaces: defaultdict[tuple[tuple[str, int], ...], dict[tuple[int, ...], list[Flow]]] = defaultdict(dict)

    def add(self, flow: Flow) -> None:
        space = self._spaces[tuple((name, mask) for name, _, mask in flow.key.match)]
        space.setdefault(tuple(value for _, value, _ in flow.key.match), []).append(flow)

    def look_up(self, stage: Stage, packet: Packet) -> Step:
        fields = packet.fields
        plain, conjunctive = self._matching(fields)
        floor = plain[0].key.priority if plain else -1
        for priority, group in groupby(conjunctive, key=lambda flow: flow.key.priority):
            if priority <= floor:
                break
            clauses = list(group)
            for conj_id in _complete(clauses):
                # The flow for the conjunction is searched like any other, but without conjunctions (ovs-fields(7)).
                found, _ = self._matching(fields | {"conj_id": conj_id})
                if found:
                    return _met(stage, packet, found, tuple(flow for flow in clauses if _is_part(flow, conj_id)))
        return _met(stage, packet, plain)

    def _matching(self, fields: dict[str, int]) -> tuple[list[Flow], list[Flow]]:
        """All flows that match, highest priority first, apart by whether they are clauses of a conjunction."""
        plain: list[Flow] = []
        conjunctive: list[Flow] = []
        for space, flows in self._spaces.items():
            for flow in flows.get(tuple(_masked(fields, name, mask) for name, mask in space), ()):
                (conjunctive if flow.actions and isinstance(flow.actions[0], Conjunction) else plain).append(flow)
        plain.sort(key=lambda flow: -flow.key.priority)
        conjunctive.sort(key=lambda flow: -flow.key.priority)
        return plain, conjunctive


def _masked(fields: dict[str, int], name: str, mask: int) -> int:
    value = fields.get(name)
    if value is None:
        # Metadata is 0 until written; a header that the packet hasn't got matches nothing.
        return -1 if FIELDS[name].needs else 0
    return value & mask


def _met(stage: Stage, packet: Packet, found: list[Flow], clauses: tuple[Flow, ...] = ()) -> Step:
    if not found:
        return Step(stage, packet, None)
    best = found[0]
    rivals = tuple(
        flow for flow in found[1:] if flow.key.priority == best.key.priority and flow.actions != best.actions
    )
    return Step(stage, packet, best, clauses, rivals)


def _complete(clauses: list[Flow]) -> Iterator[int]:
    """Ids of the conjunctions all of whose dimensions are among these flows."""
    seen: defaultdict[int, set[int]] = defaultdict(set)
    wanted: dict[int, int] = {}
    for action in (action for flow in clauses for action in flow.actions):
        assert isinstance(action, Conjunction), "a flow with a conjunction has no other actions"
        seen[action.conj_id].add(action.clause)
        wanted[action.conj_id] = action.clauses
    return (conj_id for conj_id, dimensions in seen.items() if len(dimensions) == wanted[conj_id])


def _is_part(flow: Flow, conj_id: int) -> bool:
    return any(isinstance(action, Conjunction) and action.conj_id == conj_id for action in flow.actions)


class _MeterExceededError(Exception):
    """The packet ends here; what was done before stays done."""


class _TooDeepError(Exception):
    """The switch gives up: nothing of this way through the tables is done."""


class _Walk:
    """One packet's way. What `ct` sends on is processed after the packet it left, as a recirculation is."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.sent: list[Sent] = []
        self.to_controller: list[Packet] = []
        self.steps: list[Step] = []
        self._waiting: deque[tuple[Stage, Packet]] = deque()
        self._depth = 0
        self._lookups = 0

    def run(self, packet: Packet, stage: Stage) -> None:
        self._waiting.append((stage, packet.with_fields(UNTRACKED)))
        while self._waiting:
            stage, packet = self._waiting.popleft()
            before = [(done, len(done)) for done in (self.sent, self.to_controller, self._waiting)]
            first = len(self.steps)
            self._depth = self._lookups = 0
            try:
                self._visit(stage, packet)
            except _MeterExceededError as exceeded:
                self.steps[-1].note = str(exceeded)
            except _TooDeepError:
                self.steps[-1].note = "looked up too often: the switch gives up"
                for done, length in before:
                    while len(done) > length:
                        done.pop()
            self.steps[first].resumed = stage is not Stage.CLASSIFY

    def _visit(self, stage: Stage | None, packet: Packet) -> Packet:
        """The packet as it is when the stage, and all that it went on to, returns."""
        while stage is not None:
            self._lookups += 1
            if self._depth > _MAX_DEPTH or self._lookups > _MAX_LOOKUPS:
                raise _TooDeepError
            step = self.switch.look_up(stage, packet)
            self.steps.append(step)
            stage, packet = self._execute(step.flow.actions if step.flow else (), step, packet)
        return packet

    def _execute(self, actions: Actions, step: Step, packet: Packet) -> tuple[Stage | None, Packet]:
        """Where the packet goes on, if anywhere, and as what."""
        for action in actions:
            match action:
                case Output(ofport):
                    self._output(ofport, step, packet)
                case Goto(stage):
                    return stage, packet
                case Resubmit(stage):
                    back = stage <= step.stage
                    self._depth += back
                    packet = self._visit(stage, packet)
                    self._depth -= back
                case Ct():
                    packet = self._track(action, packet)
                case ToController():
                    self.to_controller.append(packet)
                    step.handed += 1
                case UseGroup(group_id):
                    # Each bucket has a copy: what it changes is gone when the next one starts.
                    for bucket in _chosen(self.switch.groups[group_id], packet):
                        self._execute(bucket.actions, step, packet)
                case UseMeter(meter_id):
                    if meter_id in self.switch.exceeded:
                        raise _MeterExceededError(f"meter {meter_id} exceeded")
                case DecTtl() if packet.fields.get("ip_ttl", 2) <= 1:
                    step.note = "TTL expired"
                    return None, packet
                case _:
                    packet = _rewritten(action, packet)
        return None, packet

    def _output(self, ofport: int, step: Step, packet: Packet) -> None:
        came_from = packet.fields["in_port"]
        if ofport == came_from:
            # ovs-actions(7), output: never back to where the packet came from, but by the name in_port.
            step.note = f"not sent back out of port {ofport}"
            return
        self.sent.append(Sent(came_from if ofport == IN_PORT else ofport, packet, step))

    def _track(self, action: Ct, packet: Packet) -> Packet:
        """The tracked fork goes on in the action's stage; the other one is untracked from here."""
        zone = packet.fields.get(action.zone_field, 0) & 0xFFFF
        tracked = self.switch.conntrack.track(zone, packet, commit=action.commit, mark=action.mark)
        if action.stage is not None:
            self._waiting.append((action.stage, packet.with_fields(tracked)))
        return packet.with_fields(UNTRACKED)


def _chosen(group: Group, packet: Packet) -> tuple[Bucket, ...]:
    """All of them, or one by a hash of the 5-tuple: which one, the datapath alone knows."""
    if not group.select:
        return group.buckets
    tuple_ = [packet.fields.get(name, 0) for name in _FIVE_TUPLE]
    return (group.buckets[crc32(repr(tuple_).encode()) % len(group.buckets)],)


def _rewritten(action: Action, packet: Packet) -> Packet:
    fields = packet.fields
    match action:
        case SetField(name, value, mask):
            return packet.with_fields(_merged(fields, name, value, mask)) if _has(fields, name) else packet
        case Move(source, target):
            mask = (1 << min(FIELDS[source].bits, FIELDS[target].bits)) - 1
            if not (_has(fields, source) and _has(fields, target)):
                return packet
            return packet.with_fields(_merged(fields, target, _read(fields, source) & mask, mask))
        case DecTtl():
            return packet.with_fields({"ip_ttl": fields["ip_ttl"] - 1}) if _has(fields, "ip_ttl") else packet
        case CheckLarger(length, name):
            return packet.with_fields(_merged(fields, name, ETHERNET_BYTES + packet.size > length, 1))
        case PushVlan():
            return packet.with_fields({"vlan_vid": _VLAN_PRESENT})
        case PopVlan():
            return packet.with_fields({"vlan_vid": 0})
    raise AssertionError(f"{action} among other actions")


def _has(fields: dict[str, int], name: str) -> bool:
    """A field whose header isn't there can't be written; the switch leaves the packet as it is."""
    return name in fields or not FIELDS[name].needs


def _read(fields: dict[str, int], name: str) -> int:
    parts = registers(name)
    if not parts:
        return fields.get(name, 0)
    return int.from_bytes(b"".join(fields.get(part, 0).to_bytes(4, "big") for part in parts), "big")


def _merged(fields: dict[str, int], name: str, value: int, mask: int) -> dict[str, int]:
    """What a field holds once `value` was written under `mask`; a wide register is four."""
    name = "in_port" if name == INGRESS else name
    merged = _read(fields, name) & ~mask | value & mask
    parts = registers(name)
    return {part: merged >> 32 * (3 - at) & 0xFFFFFFFF for at, part in enumerate(parts)} if parts else {name: merged}
