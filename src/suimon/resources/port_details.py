"""What is shown of a port besides its row: how it is bound, its names, its trunk, what Placement is asked for it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Table, Text, bindparam, cast, func, select

from suimon.model.things import Network, Port
from suimon.resources.collection import Extra
from suimon.store.tables import (
    HOSTS,
    MINIMUM_BANDWIDTH_RULES,
    MINIMUM_PACKET_RATE_RULES,
    NETWORKS,
    PORTS,
    SUBPORTS,
    TRUNKS,
)
from suimon.store.tx import Tx

Details = Mapping[str, object]

_BANDWIDTH: Final = {"egress": "NET_BW_EGR_KILOBIT_PER_SEC", "ingress": "NET_BW_IGR_KILOBIT_PER_SEC"}
_PACKETS: Final = {
    "any": "NET_PACKET_RATE_KILOPACKET_PER_SEC",
    "egress": "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    "ingress": "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
}
"""Resource classes of Placement (os-resource-classes)."""
_HOST_KNOWN: Final = select(HOSTS.c.name).where(HOSTS.c.name == PORTS.c.binding_host).scalar_subquery()
_NETWORK_QOS: Final = select(NETWORKS.c.qos_policy_id).where(NETWORKS.c.id == PORTS.c.network_id).scalar_subquery()
_INNER: Final = PORTS.alias("subport")
_SUBPORTS: Final = (
    select(
        func.aggregate_strings(
            SUBPORTS.c.port_id.concat(" ")
            .concat(SUBPORTS.c.segmentation_type.concat(" "))
            .concat(cast(SUBPORTS.c.segmentation_id, Text).concat(" "))
            .concat(_INNER.c.mac_address),
            ";",
        )
    )
    .where(SUBPORTS.c.trunk_id == TRUNKS.c.id, _INNER.c.id == SUBPORTS.c.port_id)
    .correlate(TRUNKS)
    .scalar_subquery()
)
_TRUNK: Final = func.coalesce(
    select(TRUNKS.c.id.concat("|").concat(func.coalesce(_SUBPORTS, "")))
    .where(TRUNKS.c.port_id == PORTS.c.id)
    .correlate(PORTS)
    .scalar_subquery(),
    select(SUBPORTS.c.trunk_id).where(SUBPORTS.c.port_id == PORTS.c.id).correlate(PORTS).scalar_subquery(),
)
"""`TRUNK|SUBPORT TYPE ID MAC;…` of a parent port, `TRUNK` of a subport."""


def _rates(table: Table, rate: str) -> ColumnElement[str]:
    """`ID DIRECTION RATE;…` of the policy that holds for a port."""
    rules = table.c
    text = rules.id.concat(" ").concat(rules.direction.concat(" ")).concat(cast(rules[rate], Text))
    policy = func.coalesce(PORTS.c.qos_policy_id, NETWORKS.c.qos_policy_id)
    found = select(func.aggregate_strings(text, ";")).where(rules.policy_id == policy).correlate(PORTS, NETWORKS)
    return func.coalesce(found.scalar_subquery(), "")


_MINIMA: Final = (
    select(
        PORTS.c.id.concat("|")
        .concat(_rates(MINIMUM_BANDWIDTH_RULES, "min_kbps"))
        .concat("|")
        .concat(_rates(MINIMUM_PACKET_RATE_RULES, "min_kpps"))
        .concat("|")
        .concat(func.coalesce(NETWORKS.c.physnet, ""))
    )
    .where(
        NETWORKS.c.id == PORTS.c.network_id,
        func.coalesce(PORTS.c.qos_policy_id, NETWORKS.c.qos_policy_id).is_not(None),
    )
    .correlate(PORTS)
    .scalar_subquery()
)
"""`PORT|RATES|RATES|PHYSNET`: what a port may count on, and which network has to give it; NULL without a policy."""
_BESIDES: Final = select(PORTS.c.id, _HOST_KNOWN, _TRUNK, _MINIMA).where(
    PORTS.c.id.in_(bindparam("ids", expanding=True))
)


def binding(port: Port, known_host: str | None) -> Details:
    """How the port is bound, if there is such a host and it can plug such a port: it has no hardware to hand out."""
    shown: dict[str, object] = dict(vif(port.binding_host, port.binding_vnic_type, known=known_host is not None))
    if port.trusted is not None:
        shown["binding_profile"] = {**port.binding_profile, "trusted": port.trusted}
    return shown


def vif(host: str, vnic_type: str, *, known: bool) -> Details:
    """The type and the details of the interface that Nova makes there."""
    if not host:
        return {"vif_type": "unbound", "vif_details": {}}
    if not known or vnic_type != "normal":
        return {"vif_type": "binding_failed", "vif_details": {}}
    # What Nova and os-vif read: they plug into br-int with the port's id, and leave filtering to the flows.
    details = {
        "port_filter": True,
        "ovs_hybrid_plug": False,
        "bridge_name": "br-int",
        "datapath_type": "system",
        "connectivity": "l2",
        "bound_drivers": {"0": "suimon"},
    }
    return {"vif_type": "ovs", "vif_details": details}


NAMES_OF: Final = ("id", "network_id", "fixed_ips", "dns_name", "dns_domain")


def names(tx: Tx, ports: Sequence[Port]) -> dict[str, Details]:
    """Port id → `dns_assignment`: a name for each address. One statement, if a port's domain is its network's."""
    asking = {port.network_id for port in ports if port.dns_name and not port.dns_domain}
    if len(asking) == 1:
        networks = [tx.get(Network, asking.pop())]
    else:
        networks = [*tx.select(Network, {"id": asking})] if asking else []
    domains = {network.id: network.dns_domain for network in networks if network}
    return {port.id: {"dns_assignment": _assignment(port, domains, tx.settings.dns_domain)} for port in ports}


def after_write(tx: Tx, ports: Sequence[Port]) -> list[Details]:
    """All of it for ports just written: a new one is in no trunk, and has it no host or policy, no statement is due."""
    networks = {id_: tx.get(Network, id_) for id_ in {port.network_id for port in ports}}
    policies = {id_: network and network.qos_policy_id for id_, network in networks.items()}
    asking = [
        port.id
        for port in ports
        if port.revision_number or port.binding_host or port.qos_policy_id or policies[port.network_id]
    ]
    found = {id_: besides for id_, *besides in tx.rows(_BESIDES, {"ids": asking})} if asking else {}
    named = names(tx, ports)
    shown: list[Details] = []
    for port in ports:
        host, trunk, minima = found.get(port.id, (None, None, None))
        shown.append(
            {
                "qos_network_policy_id": policies[port.network_id],
                **binding(port, host),
                **named[port.id],
                **_trunk(port, trunk),
                **_request(port, minima),
            }
        )
    return shown


def trunk_of(details: Details) -> tuple[str, bool] | None:
    """The trunk that a port is in, and whether as its parent."""
    found = details["trunk"]
    return None if found is None else (str(found).partition("|")[0], "|" in str(found))


class _Assigned(msgspec.Struct, frozen=True, gc=False):
    """An address, and what the DNS calls it."""

    ip_address: str
    hostname: str
    fqdn: str


def _assignment(port: Port, domains: Mapping[str, str], default: str) -> object:
    domain = (port.dns_name and (port.dns_domain or domains.get(port.network_id))) or default
    shown = []
    for fixed in port.fixed_ips:
        name = port.dns_name or f"host-{fixed.ip.replace('.', '-').replace(':', '-')}"
        shown.append(_Assigned(fixed.ip, name, name if name.endswith(".") else f"{name}.{domain}"))
    return shown


def _trunk(_port: Port, text: str | None) -> Details:
    if text is None or "|" not in text:
        return {"trunk": text, "trunk_details": None}
    trunk, _, listed = text.partition("|")
    subports = [subport.split(" ") for subport in sorted(filter(None, listed.split(";")))]
    shown = [
        {"port_id": port_id, "segmentation_type": kind, "segmentation_id": int(number), "mac_address": mac}
        for port_id, kind, number, mac in subports
    ]
    return {"trunk": text, "trunk_details": {"trunk_id": trunk, "sub_ports": shown}}


def _request(port: Port, text: str | None) -> Details:
    """What Nova asks Placement for on behalf of the port (Neutron's port-resource-request-groups)."""
    if text is None:
        return {"resource_request": None}
    id_, bandwidth, packets, physnet = text.split("|", 3)
    vnic = _trait("VNIC_TYPE", port.binding_vnic_type)
    groups = []
    if bandwidth and physnet:
        groups.append(_group(id_, bandwidth, _BANDWIDTH, [_trait("PHYSNET", physnet), vnic]))
    if packets:
        groups.append(_group(id_, packets, _PACKETS, [vnic]))
    if not groups:
        return {"resource_request": None}
    return {"resource_request": {"request_groups": groups, "same_subtree": [group["id"] for group in groups]}}


def _group(port_id: str, text: str, classes: Mapping[str, str], traits: list[str]) -> dict[str, object]:
    """The id stays the same as long as port and rules do: Placement's answer is matched by it."""
    rules = [rule.split(" ") for rule in sorted(text.split(";"))]
    resources = {classes[direction]: int(rate) for _, direction, rate in rules}
    id_ = uuid.uuid5(uuid.UUID(port_id), ":".join(rule for rule, _, _ in rules))
    return {"id": str(id_), "required": traits, "resources": resources}


def _trait(kind: str, name: str) -> str:
    return f"CUSTOM_{kind}_{re.sub('[^A-Z0-9_]', '_', name.upper())}"


EXTRAS: Final = (
    Extra(_NETWORK_QOS, lambda _, id_: {"qos_network_policy_id": id_}, of=()),
    Extra(
        _HOST_KNOWN,
        binding,
        of=("binding_host", "binding_vnic_type", "trusted", "binding_profile"),
        over=("binding_profile",),
    ),
    Extra(_TRUNK, _trunk, of=()),
    Extra(_MINIMA, _request, of=("binding_vnic_type",)),
)
"""What needs no statement of its own when ports are read."""
