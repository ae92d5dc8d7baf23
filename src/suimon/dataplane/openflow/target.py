"""A bridge as a target of reconciliation: its flows, groups and meters under one set of keys.

Meters are made before the bundle and deleted after it, because a bundle can't carry them; groups are made before the
flows that point at them and deleted after, inside the one atomic bundle.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from suimon.dataplane.openflow import messages
from suimon.dataplane.openflow.connection import Connection
from suimon.dataplane.openflow.errors import METER_EXISTS, Refused
from suimon.dataplane.openflow.messages import Fragments, GroupEntry, Message, MeterCommand, MeterEntry
from suimon.dataplane.openflow.shapes import Shape, Shapes, shape
from suimon.pipeline.flow import Entry, Flow, FlowKey, Group, Meter
from suimon.reconcile import Changes, Failure


class GroupKey(msgspec.Struct, frozen=True, tag="group"):
    group_id: int


class MeterKey(msgspec.Struct, frozen=True, tag="meter"):
    meter_id: int


class FragmentsKey(msgspec.Struct, frozen=True, tag="fragments"):
    """That flows see fragments otherwise than they were written for (docs/decisions/0070): nobody wants it."""

    mode: Fragments


BridgeKey = FlowKey | GroupKey | MeterKey | FragmentsKey
BridgeEntry = Entry | GroupEntry | MeterEntry | Fragments

K = TypeVar("K", MeterKey, FragmentsKey)


def bridge_entries(things: Iterable[Flow | Group | Meter]) -> dict[BridgeKey, BridgeEntry]:
    """Flows, groups and meters as the target keys and compares them."""
    return dict(map(_keyed, things))


def named(key: BridgeKey) -> str:
    """For people."""
    match key:
        case FlowKey(stage, priority):
            return f"flow in {stage.label} at priority {priority}"
        case GroupKey(group_id):
            return f"group {group_id:#x}"
        case MeterKey(meter_id):
            return f"meter {meter_id:#x}"
        case FragmentsKey(mode):
            return f"fragment handling {mode.name.lower()}"


class BridgeTarget:
    """`reconcile.Target` of one bridge. `foreign` is how many flows, groups and meters without our mark `observe`
    passed by last, and one of each; "" for none.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shapes = Shapes()
        self.foreign = ""

    async def observe(self) -> dict[BridgeKey, BridgeEntry]:
        """All that carries our mark. Raises as `Connection` does; complete or an error."""
        connection = self._connection
        asked = connection.dump_flows(), connection.dump_groups(), connection.dump_meters(), connection.fragments()
        flows, groups, meters, fragments = await asyncio.gather(*asked)
        found = [f"{flows.foreign} flows, one in {flows.foreign_example}"] if flows.foreign else []
        for kind, ids in (("groups", groups.foreign), ("meters", meters.foreign)):
            found += [f"{len(ids)} {kind}, one {min(ids)}"] if ids else []
        self.foreign = ", ".join(found)
        held: dict[BridgeKey, BridgeEntry] = {GroupKey(group_id): group for group_id, group in groups.ours.items()}
        held.update((MeterKey(meter_id), meter) for meter_id, meter in meters.ours.items())
        held.update(flows.ours.items())
        if fragments is not Fragments.NX_MATCH:
            held[FragmentsKey(fragments)] = fragments
        return held

    async def apply(self, changes: Changes[BridgeKey, BridgeEntry]) -> dict[BridgeKey, Failure]:
        """All or nothing but for meters: those can exist without effect until a flow uses them. And but for flows that
        the switch refuses to decode though it decoded others of their shape: then the others come true.
        """
        unset = {key: messages.CONFIGURE for key in changes.delete if isinstance(key, FragmentsKey)}
        if unset:
            rest = tuple(key for key in changes.delete if key not in unset)
            refused = await self._change(unset)
            return await self.apply(Changes(changes.set, rest)) | {
                key: _failure(key, error) for key, error in refused.items()
            }
        metered = [key for key in changes.keys if isinstance(key, MeterKey)]
        failed = await self._set_meters(changes) if metered else {}
        others = False
        if not failed:
            failed, others = await self._commit(changes)
        if others:
            return failed | await self._delete_meters(changes) if metered else failed
        held_back = Failure("held back: " + next(iter(failed.values())).reason, blamed=False)
        return dict.fromkeys(changes.keys, held_back) | failed

    async def _set_meters(self, changes: Changes[BridgeKey, BridgeEntry]) -> dict[BridgeKey, Failure]:
        """Made where they are not, changed where they are."""
        added: dict[MeterKey, Message] = {}
        for key, entry in changes.set.items():
            if isinstance(key, MeterKey) and isinstance(entry, MeterEntry):
                try:
                    added[key] = messages.set_meter(MeterCommand.ADD, key.meter_id, entry)
                except struct.error as error:
                    return {key: _failure(key, error)}
        refused = await self._change(added)
        there = {key for key, error in refused.items() if error.code == METER_EXISTS}
        changed = {key: _modification(key, changes.set[key]) for key in there}
        failed = {key: error for key, error in refused.items() if key not in there} | await self._change(changed)
        return {key: _failure(key, error) for key, error in failed.items()}

    async def _commit(self, changes: Changes[BridgeKey, BridgeEntry]) -> tuple[dict[BridgeKey, Failure], bool]:
        """What was refused, and whether the others came true."""
        keys: list[BridgeKey] = []
        bundle: list[Message] = []
        shapes: list[Shape | None] = []
        failed: dict[BridgeKey, Failure] = {}
        for key, entry in _ordered(changes):
            try:
                bundle.append(_message(key, entry))
                keys.append(key)
                shapes.append(shape(key, entry))
            except ValueError as error:
                failed[key] = _failure(key, error)
        if failed:
            return failed, False
        known = self._shapes.all_decoded(shapes)
        refused, others = await self._connection.commit(bundle, decodable=known)
        if refused:
            self._shapes.refused(shapes[at] for at in refused)
        elif not known:
            self._shapes.decoded(shapes)
        return {keys[at]: _failure(keys[at], error) for at, error in refused.items()}, others

    async def _delete_meters(self, changes: Changes[BridgeKey, BridgeEntry]) -> dict[BridgeKey, Failure]:
        """Flows that use one would go with it; by now they are gone or changed."""
        gone = {key: messages.delete_meter(key.meter_id) for key in changes.delete if isinstance(key, MeterKey)}
        return {key: _failure(key, error) for key, error in (await self._change(gone)).items()}

    async def _change(self, wanted: Mapping[K, Message]) -> dict[K, Refused]:
        """Which of them were refused."""
        keys = list(wanted)
        return {keys[at]: error for at, error in (await self._connection.change(list(wanted.values()))).items()}


def _keyed(thing: Flow | Group | Meter) -> tuple[BridgeKey, BridgeEntry]:
    match thing:
        case Flow():
            return thing.key, thing.entry
        case Group(group_id, _, buckets, select):
            return GroupKey(group_id), GroupEntry(buckets, select)
        case Meter(meter_id, _, rate, burst, packets):
            return MeterKey(meter_id), MeterEntry(rate, burst, packets)


def _ordered(changes: Changes[BridgeKey, BridgeEntry]) -> Iterator[tuple[BridgeKey, BridgeEntry | None]]:
    """Groups made, flows set, flows deleted, groups deleted; meters aside."""
    yield from ((key, entry) for key, entry in changes.set.items() if isinstance(key, GroupKey))
    yield from ((key, entry) for key, entry in changes.set.items() if isinstance(key, FlowKey))
    yield from ((key, None) for key in changes.delete if isinstance(key, FlowKey))
    yield from ((key, None) for key in changes.delete if isinstance(key, GroupKey))


def _message(key: BridgeKey, entry: BridgeEntry | None) -> Message:
    match key, entry:
        case FlowKey(), Entry():
            return messages.set_flow(key, entry)
        case FlowKey(), None:
            return messages.delete_flow(key)
        case GroupKey(group_id), GroupEntry():
            return messages.set_group(group_id, entry)
        case GroupKey(group_id), None:
            return messages.delete_group(group_id)
    raise AssertionError(f"{key!r} can't hold {entry!r}")


def _modification(key: MeterKey, entry: BridgeEntry) -> Message:
    assert isinstance(entry, MeterEntry)
    return messages.set_meter(MeterCommand.MODIFY, key.meter_id, entry)


def _failure(key: BridgeKey, error: Exception) -> Failure:
    return Failure(f"{named(key)}: {error}")
