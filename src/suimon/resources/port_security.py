"""Port security: groups and address pairs are exceptions from it, so they need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suimon.model.errors import Conflict
from suimon.model.specs.ports import WantedPair
from suimon.model.things import Port
from suimon.model.view import AddressPair


def require_secure(port_security: bool, groups: Sequence[str], pairs: Sequence[object]) -> None:
    """Raises Conflict for what a port without security can't have."""
    if not port_security and pairs:
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            "AddressPairAndPortSecurityRequired",
        )
    if not port_security and groups:
        raise Conflict(
            "Port security must be enabled and port must have an IP address in order to use security groups.",
            "PortSecurityAndIPRequiredForSecurityGroups",
        )


def security_after(port: Port, values: Mapping[str, Any]) -> dict[str, Any]:
    """Groups, pairs and port security after an update, if any of them is to change. Raises Conflict.

    A port that gets its security back gets no group by that, as in Neutron.
    """
    if not {"port_security", "security_groups", "allowed_address_pairs"} & set(values):
        return {}
    secure = values.get("port_security", port.port_security)
    pairs = values.get("allowed_address_pairs", port.allowed_address_pairs)
    if not secure and port.security_groups and "security_groups" not in values:
        raise Conflict(
            "Port has security group associated. Cannot disable port security or IP address until security group is "
            "removed.",
            "PortSecurityPortHasSecurityGroup",
        )
    groups = values.get("security_groups", port.security_groups)
    require_secure(secure, groups, pairs)
    return {
        "security_groups": groups,
        "allowed_address_pairs": whole_pairs(pairs, values.get("mac_address", port.mac_address)),
    }


def whole_pairs(pairs: Sequence[WantedPair | AddressPair], mac: str) -> tuple[AddressPair, ...]:
    """Pairs without a MAC have the port's."""
    return tuple(AddressPair(pair.mac or mac, pair.cidr) for pair in pairs)
