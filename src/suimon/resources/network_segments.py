"""Segments as resources of their own: each network has exactly one, which can be named and described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import Conflict, NotFound
from suimon.model.query import Query, cut
from suimon.model.specs.segments import SEGMENT
from suimon.model.things import Network, NetworkSegment
from suimon.resources.collection import require_revision
from suimon.resources.persona import RULES, permits, require, require_act
from suimon.store.tx import Tx

SPEC: Final = SEGMENT.governed_by(RULES)
_FAMILY: Final = UUID("1f2a9f0c-6f0d-5c63-8d0e-2f6f0c1b7a55")
"""The UUID namespace in which a network's id becomes its segment's (RFC 9562, section 5.5)."""


def list_segments(tx: Tx, actor: Actor, query: Query) -> list[Shown]:
    """For operators; nothing for others."""
    if not permits(actor, "get_segment"):
        return []
    wanted = query.filters.get("network_id")
    networks = tx.select(Network, {"id": wanted} if wanted else None)
    kept = {each.network_id: each for each in tx.select(NetworkSegment)}
    return cut(SPEC, [Shown(_segment(network, kept.get(network.id))) for network in networks], query)


def get_segment(tx: Tx, actor: Actor, id_: str) -> Shown:
    """Raises NotFound."""
    return Shown(_find(tx, actor, id_))


def create_segment(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Shown:
    """Raises Forbidden, NotFound for the network, and else Conflict: a network has its one segment already."""
    require_act(actor, "create_segment", SPEC, wanted, Target(""))
    if tx.get(Network, wanted["network_id"]) is None:
        raise NotFound(f"Network {wanted['network_id']} could not be found.", "NetworkNotFound")
    raise Conflict(f"Network {wanted['network_id']} has its segment already, and can have one only.", "SegmentInUse")


def update_segment(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Shown:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    before = _find(tx, actor, id_)
    require_act(actor, "update_segment", SPEC, wanted, Target(before.project_id))
    require_revision(before, expected_revision)
    if tx.get(NetworkSegment, id_) is not None:
        return Shown(tx.change(before, **wanted))
    after = msgspec.structs.replace(before, **wanted, revision_number=before.revision_number + 1, updated_at=tx.now)
    tx.insert(after)
    return Shown(after)


def delete_segment(tx: Tx, actor: Actor, id_: str, _expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, and else Conflict: a network's segment goes when the network goes."""
    found = _find(tx, actor, id_)
    require(actor, "delete_segment", Target(found.project_id))
    raise Conflict(
        f"Segment '{id_}' cannot be deleted: it is the only one of network {found.network_id}.", "SegmentInUse"
    )


def _find(tx: Tx, actor: Actor, id_: str) -> NetworkSegment:
    found = []
    if permits(actor, "get_segment"):
        kept = tx.get(NetworkSegment, id_)
        networks = tx.select(Network, {"id": kept.network_id} if kept else None)
        found = [segment for network in networks if (segment := _segment(network, kept)).id == id_]
    if not found:
        raise NotFound(f"Segment {id_} could not be found.", "SegmentNotFound")
    return found[0]


def _segment(network: Network, kept: NetworkSegment | None) -> NetworkSegment:
    """What the network says of it, and what was said of it alone."""
    wire: dict[str, Any] = {
        "network_type": network.network_type,
        "physnet": network.physnet,
        "segment": network.segment,
    }
    if kept is not None and kept.network_id == network.id:
        return msgspec.structs.replace(kept, **wire)
    return NetworkSegment(
        id=str(uuid5(_FAMILY, network.id)),
        project_id=network.project_id,
        network_id=network.id,
        created_at=network.created_at,
        updated_at=network.created_at,
        **wire,
    )
