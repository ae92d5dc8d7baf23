"""Segments: which VNI or VLAN a network gets, and which an admin may name."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import bindparam, func, select
from sqlalchemy.sql import exists

from suimon.model import checks
from suimon.model.errors import Conflict
from suimon.model.settings import LAST_SEGMENT, Ranges, Settings
from suimon.model.things import Host
from suimon.resources.segment_ranges import ranges_for
from suimon.store.tables import NETWORKS
from suimon.store.tx import Tx

OVERHEAD: Final = {"vxlan": 50, "gre": 42, "geneve": 50}
"""Bytes that a tunnel over IPv4 adds to an IP packet, the inner Ethernet header included: RFC 7348; RFC 2784 with a key
(RFC 2890); RFC 8926 without options. Neutron computes a network's MTU likewise.
"""
_TAKEN = NETWORKS.alias("taken")
_SAME = (
    NETWORKS.c.network_type == bindparam("network_type"),
    func.coalesce(NETWORKS.c.physnet, "") == bindparam("physnet"),
    NETWORKS.c.segment.between(bindparam("first"), bindparam("last")),
)
_HIGHEST = select(func.max(NETWORKS.c.segment)).where(*_SAME)
_NEXT_IS_TAKEN = exists().where(
    _TAKEN.c.network_type == NETWORKS.c.network_type,
    func.coalesce(_TAKEN.c.physnet, "") == func.coalesce(NETWORKS.c.physnet, ""),
    _TAKEN.c.segment == NETWORKS.c.segment + 1,
)
_GAP = select(func.min(NETWORKS.c.segment) + 1).where(*_SAME, NETWORKS.c.segment < bindparam("last"), ~_NEXT_IS_TAKEN)
_IS_TAKEN = select(NETWORKS.c.id).where(*_SAME).limit(1)


class Segment(msgspec.Struct, frozen=True):
    """What sets a network apart on the wire."""

    network_type: str
    physnet: str | None = None
    id: int | None = None


def choose(tx: Tx, project_id: str, network_type: str | None, physnet: str | None, segment: int | None) -> Segment:
    """The segment as given, or a free one of the installation's ranges. Raises BadRequest, Conflict."""
    match network_type:
        case None if physnet is not None or segment is not None:
            raise checks.invalid("network_type required")
        case None:
            return choose(tx, project_id, tx.settings.tenant_network_type, None, None)
        case "vxlan" | "gre" | "geneve":
            return _tunnelled(tx, project_id, network_type, physnet, segment)
        case "vlan":
            return _vlan(tx, project_id, physnet, segment)
        case "flat":
            return _flat(tx, physnet, segment)
    raise checks.invalid(f"network_type value '{network_type}' not supported")


def largest_mtu(settings: Settings, network_type: str) -> int:
    """What fits into the underlay's frames."""
    return settings.underlay_mtu - OVERHEAD.get(network_type, 0)


def in_use(segment: Segment) -> Conflict:
    """What to say when another network has it."""
    match segment.network_type:
        case "vlan":
            words = f"The VLAN {segment.id} on physical network {segment.physnet} is in use."
            return Conflict(f"Unable to create the network. {words}", "VlanIdInUse")
        case "flat":
            words = f"Physical network {segment.physnet} is in use."
            return Conflict(f"Unable to create the flat network. {words}", "FlatNetworkInUse")
    return Conflict(f"Unable to create the network. The tunnel ID {segment.id} is in use.", "TunnelIdInUse")


def _tunnelled(tx: Tx, project_id: str, kind: str, physnet: str | None, segment: int | None) -> Segment:
    if physnet is not None:
        raise checks.invalid(f"provider:physical_network specified for {kind} network")
    if segment is None:
        ranges = ranges_for(tx, project_id, kind, None, tx.settings.tunnels[kind])
        return Segment(kind, None, _free(tx, kind, None, ranges))
    return Segment(kind, None, _in_range(kind, segment))


def _vlan(tx: Tx, project_id: str, physnet: str | None, segment: int | None) -> Segment:
    if physnet is None:
        if segment is not None:
            raise checks.invalid("segmentation_id requires physical_network for VLAN provider network")
        for name, ranges in tx.settings.vlans.items():
            try:
                return Segment("vlan", name, _free(tx, "vlan", name, ranges_for(tx, project_id, "vlan", name, ranges)))
            except Conflict:
                continue
        raise _exhausted("vlan")
    _require_known(tx, physnet, "VLAN", tx.settings.vlans)
    if segment is None:
        ranges = ranges_for(tx, project_id, "vlan", physnet, tx.settings.vlans.get(physnet, ()))
        return Segment("vlan", physnet, _free(tx, "vlan", physnet, ranges))
    return Segment("vlan", physnet, _in_range("vlan", segment))


def _flat(tx: Tx, physnet: str | None, segment: int | None) -> Segment:
    if physnet is None:
        raise checks.invalid("physical_network required for flat provider network")
    if segment is not None:
        raise checks.invalid("segmentation_id specified for flat network")
    _require_known(tx, physnet, "flat", tx.settings.flat)
    return Segment("flat", physnet)


def _require_known(tx: Tx, physnet: str, words: str, configured: dict[str, Ranges] | tuple[str, ...]) -> None:
    if physnet not in configured and not any(physnet in host.physnets for host in tx.select(Host)):
        raise checks.invalid(f"physical_network '{physnet}' unknown for {words} provider network")


def _in_range(network_type: str, segment: int) -> int:
    if not 1 <= segment <= LAST_SEGMENT[network_type]:
        raise checks.invalid(f"segmentation_id out of range (1 through {LAST_SEGMENT[network_type]})")
    return segment


def _free(tx: Tx, network_type: str, physnet: str | None, ranges: Ranges) -> int:
    """The one behind the highest in use, so that a number rests before it comes again; else the lowest gap."""
    for first, last in ranges:
        values = {"network_type": network_type, "physnet": physnet or "", "first": first, "last": last}
        highest = tx.rows(_HIGHEST, values)[0][0]
        if highest is None:
            return first
        if highest < last:
            return int(highest) + 1
        if not tx.rows(_IS_TAKEN, {**values, "last": first}):
            return first
        if (gap := tx.rows(_GAP, values)[0][0]) is not None:
            return int(gap)
    raise _exhausted(network_type)


def _exhausted(network_type: str) -> Conflict:
    return Conflict(
        f"Unable to create the network. No {network_type} segment is left in the configured ranges.",
        "NoNetworkAvailable",
    )
