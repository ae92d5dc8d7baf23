"""Ranges of segment ids: the installation's own, and those that operators set aside for one project or for all.

A network gets its segment from its project's ranges first, then from the ranges for all, then from the installation's;
never from what is set aside for another project.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec
from sqlalchemy import bindparam, func, select

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.query import Query, cut
from suimon.model.ranges import Range, minus
from suimon.model.settings import LAST_SEGMENT, Ranges, Settings
from suimon.model.specs.segments import NETWORK_SEGMENT_RANGE
from suimon.model.things import NetworkSegmentRange
from suimon.resources.collection import require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, permits, require_act
from suimon.store.tables import NETWORKS
from suimon.store.tx import Tx

SPEC: Final = NETWORK_SEGMENT_RANGE.governed_by(RULES)
_MOST_SHOWN: Final = 10_000
"""Free ids told of a range: a VXLAN range may have 16 million."""
_USED = select(NETWORKS.c.segment, NETWORKS.c.project_id).where(
    NETWORKS.c.network_type == bindparam("network_type"),
    func.coalesce(NETWORKS.c.physnet, "") == bindparam("physnet"),
    NETWORKS.c.segment.between(bindparam("minimum"), bindparam("maximum")),
)
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def ranges_for(tx: Tx, project_id: str, network_type: str, physnet: str | None, installed: Ranges) -> Ranges:
    """Where a network of this project may get its segment from, in order."""
    own: list[Range] = []
    shared: list[Range] = []
    others: list[Range] = []
    for each in tx.select(NetworkSegmentRange, {"network_type": network_type, "physnet": physnet or ""}):
        here = (each.minimum, each.maximum)
        (shared if each.shared else own if each.project_id == project_id else others).append(here)
    if not (own or shared or others):
        return installed
    return (*own, *minus(shared, [*own, *others]), *minus(installed, [*own, *others, *shared]))


def list_ranges(tx: Tx, actor: Actor, query: Query) -> list[Shown]:
    """For operators; nothing for others."""
    found = (
        [*_defaults(tx.settings), *tx.select(NetworkSegmentRange)]
        if permits(actor, "get_network_segment_range")
        else []
    )
    kept = cut(SPEC, [Shown(each, {"default": _is_default(each)}) for each in found], query)
    return [_shown(tx, _a_range(shown)) for shown in kept]


def get_range(tx: Tx, actor: Actor, id_: str) -> Shown:
    """Raises NotFound."""
    return _shown(tx, _find(tx, actor, id_))


def create_range(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Shown:
    """Raises Forbidden, BadRequest for an impossible range, Conflict for one that overlaps another."""
    require_act(actor, "create_network_segment_range", SPEC, wanted, Target(wanted["project_id"]))
    values = {**wanted, "physnet": wanted["physnet"] or ""}
    if values["network_type"] == "vlan" and not values["physnet"]:
        raise BadRequest(
            "Bad network_segment_range request: Network type vlan requires 'physical_network' to be specified while "
            "creating new range.",
            "BadRequest",
        )
    if values["network_type"] != "vlan":
        values["physnet"] = ""
    if values["shared"]:
        values["project_id"] = ""
    made = NetworkSegmentRange(id=new_id(), created_at=tx.now, updated_at=tx.now, **values)
    _require_sound(tx, made)
    tx.insert(made)
    return _shown(tx, made)


def update_range(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Shown:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest, and Conflict where networks would be left outside."""
    before = _find(tx, actor, id_)
    require_act(actor, "update_network_segment_range", SPEC, wanted, Target(before.project_id))
    require_revision(before, expected_revision)
    _require_own(before)
    after = msgspec.structs.replace(before, **wanted)
    if any(not after.minimum <= segment <= after.maximum for segment in _used(tx, before)):
        raise _referenced(before)
    _require_sound(tx, after)
    return _shown(tx, tx.change(before, **wanted) if wanted else before)


def delete_range(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest for the installation's own, Conflict when in use."""
    before = _find(tx, actor, id_)
    require_act(actor, "delete_network_segment_range", SPEC, {}, Target(before.project_id))
    require_revision(before, expected_revision)
    _require_own(before)
    if _used(tx, before):
        raise _referenced(before)
    tx.delete(before)


def _find(tx: Tx, actor: Actor, id_: str) -> NetworkSegmentRange:
    own = {each.id: each for each in _defaults(tx.settings)}
    found = (own.get(id_) or tx.get(NetworkSegmentRange, id_)) if permits(actor, "get_network_segment_range") else None
    if found is None:
        raise NotFound(f"Network Segment Range {id_} could not be found.", "NetworkSegmentRangeNotFound")
    return found


def _defaults(settings: Settings) -> list[NetworkSegmentRange]:
    """The installation's own ranges, which nobody changes through the API."""
    wires = [(kind, "", ranges) for kind, ranges in settings.tunnels.items()]
    wires += [("vlan", name, ranges) for name, ranges in settings.vlans.items()]
    return [
        NetworkSegmentRange(
            id=str(uuid5(NAMESPACE_URL, f"suimon:segment-range:{kind}:{physnet}:{first}-{last}")),
            project_id="",
            network_type=kind,
            physnet=physnet,
            minimum=first,
            maximum=last,
            created_at=_EVER,
            updated_at=_EVER,
        )
        for kind, physnet, ranges in wires
        for first, last in ranges
    ]


def _is_default(each: NetworkSegmentRange) -> bool:
    return each.created_at == _EVER


def _a_range(shown: Shown) -> NetworkSegmentRange:
    assert isinstance(shown.thing, NetworkSegmentRange)
    return shown.thing


def _shown(tx: Tx, each: NetworkSegmentRange) -> Shown:
    used = _used(tx, each)
    free: list[int] = []
    for segment in range(each.minimum, each.maximum + 1):
        if len(free) == _MOST_SHOWN:
            break
        if segment not in used:
            free.append(segment)
    told = {str(segment): project for segment, project in used.items()}
    return Shown(each, {"default": _is_default(each), "used": told, "available": free})


def _used(tx: Tx, each: NetworkSegmentRange) -> dict[int, str]:
    """Segment id → the project whose network has it; a range for one project is used by that project only."""
    values = {name: getattr(each, name) for name in ("network_type", "physnet", "minimum", "maximum")}
    found = {int(segment): project for segment, project in tx.rows(_USED, values)}
    return {s: p for s, p in found.items() if each.shared or p == each.project_id}


def _require_own(each: NetworkSegmentRange) -> None:
    if _is_default(each):
        raise BadRequest(
            f"Network Segment Range {each.id} is a default segment range which could not be updated or deleted.",
            "NetworkSegmentRangeDefaultReadOnly",
        )


def _require_sound(tx: Tx, wanted: NetworkSegmentRange) -> None:
    kind, error = (
        ("VLAN", "NetworkVlanRangeError") if wanted.network_type == "vlan" else ("tunnel", "NetworkTunnelRangeError")
    )
    words = f"Invalid network {kind} range: '{wanted.minimum}:{wanted.maximum}'"
    if wanted.maximum > LAST_SEGMENT[wanted.network_type]:
        raise BadRequest(f"{words} - {wanted.maximum} is not a valid {wanted.network_type} identifier.", error)
    if wanted.minimum > wanted.maximum:
        raise BadRequest(f"{words} - End of {kind} range is less than start of {kind} range.", error)
    where = {"network_type": wanted.network_type, "physnet": wanted.physnet}
    over = [
        other.id
        for other in tx.select(NetworkSegmentRange, where)
        if other.id != wanted.id and other.minimum <= wanted.maximum and wanted.minimum <= other.maximum
    ]
    if over:
        raise Conflict(
            f"Network segment range overlaps with range(s) with id {', '.join(sorted(over))}",
            "NetworkSegmentRangeOverlaps",
        )


def _referenced(each: NetworkSegmentRange) -> Conflict:
    return Conflict(
        f"Network Segment Range {each.id} is referenced by one or more project networks.",
        "NetworkSegmentRangeReferencedByProject",
    )
