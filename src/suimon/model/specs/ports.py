"""Ports in the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, UNGIVEN, Attribute, Spec, boolean_filter, standard
from suimon.model.checks import Unfit
from suimon.model.errors import BadRequest, CallerError, Conflict
from suimon.model.view import AddressPair, FixedIp

MAX_FIXED_IPS: Final = 5
MAX_ADDRESS_PAIRS: Final = 10
MAX_PROFILE_BYTES: Final = 4095
_VNIC_TYPES: Final = ("normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic")


class WantedIp(msgspec.Struct, frozen=True):
    """What a port asks for: an address, any address of a subnet, or this address on this subnet."""

    subnet_id: str | None = None
    ip: str | None = None


class WantedPair(msgspec.Struct, frozen=True):
    """An address pair whose MAC, when it has none, is the port's."""

    mac: str | None
    cidr: str


def fixed_ips(value: object) -> object:
    """A list of {subnet_id, ip_address}, either of which may be missing, as a tuple of WantedIp; null is UNGIVEN."""
    if value is None:
        return UNGIVEN
    if not isinstance(value, list):
        raise Unfit(f"Invalid data format for fixed IP: '{value}'")
    wanted: list[WantedIp] = []
    for item in value:
        if not isinstance(item, dict):
            raise Unfit(f"Invalid data format for fixed IP: '{item}'")
        subnet_id, ip = item.get("subnet_id"), item.get("ip_address")
        if subnet_id is None and ip is None:
            raise checks.invalid("IP allocation requires subnet_id or ip_address")
        one = WantedIp(
            None if subnet_id is None else str(checks.uuid(subnet_id)), None if ip is None else str(checks.address(ip))
        )
        if one.ip is not None and any(one.ip == other.ip for other in wanted):
            raise Unfit(f"Duplicate IP address '{one.ip}'")
        wanted.append(one)
    if len(wanted) > MAX_FIXED_IPS:
        raise BadRequest("Exceeded maximum amount of fixed ips per port.", "InvalidInput")
    return tuple(wanted)


def _address_pairs(value: object) -> object:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadRequest("Allowed address pairs must be a list.")
    if len(value) > MAX_ADDRESS_PAIRS:
        raise _too_many_pairs()
    pairs: list[WantedPair] = []
    for item in value:
        pair = _address_pair(item)
        if pair in pairs:
            raise BadRequest(
                f"Request contains duplicate address pair: mac_address {pair.mac} ip_address {pair.cidr}.",
                "DuplicateAddressPairInRequest",
            )
        pairs.append(pair)
    return tuple(pairs)


def _too_many_pairs() -> CallerError:
    return Conflict(f"Exceeded maximum amount of address pairs {MAX_ADDRESS_PAIRS} per port.", "AddressPairsExhausted")


def _address_pair(item: object) -> WantedPair:
    if not isinstance(item, dict):
        raise BadRequest(f"Invalid data format for address pair: '{item}'")
    if "ip_address" not in item:
        raise BadRequest("AllowedAddressPair must contain ip_address", "AllowedAddressPairsMissingIP")
    strange = set(item) - {"ip_address", "mac_address"}
    if strange:
        raise BadRequest(f"Unrecognized attribute(s) '{', '.join(sorted(strange))}'")
    mac, ip = item.get("mac_address"), item["ip_address"]
    try:
        kept = checks.cidr(ip) if isinstance(ip, str) and "/" in ip else checks.address(ip)
        return WantedPair(None if mac is None else str(checks.mac_address(mac)), str(kept))
    except Unfit as unfit:
        raise BadRequest(str(unfit)) from None


def _host(value: object) -> object:
    """A host's name; null, which clients send to unbind a port, is the empty one."""
    return "" if value is None else checks.text(255)(value)


def _profile(value: object) -> object:
    checked = checks.mapping(value)
    if len(msgspec.json.encode(checked)) > MAX_PROFILE_BYTES:
        raise checks.invalid("binding:profile value too large")
    return checked


def show_fixed_ips(fixed_ips: Sequence[FixedIp]) -> object:
    """As the API shows them."""
    return [{"subnet_id": fixed.subnet_id, "ip_address": fixed.ip} for fixed in fixed_ips]


def _show_pairs(pairs: Sequence[AddressPair]) -> object:
    return [{"mac_address": pair.mac, "ip_address": pair.cidr} for pair in pairs]


PORT: Final = Spec(
    singular="port",
    plural="ports",
    path="ports",
    type=things.Port,
    special_filters=frozenset({"fixed_ips", "security_groups"}),
    attributes=(
        *standard(),
        Attribute(name="network_id", field="network_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(
            name="admin_state_up", field="admin_state_up", check=checks.boolean, default=True, filter=boolean_filter
        ),
        Attribute(name="mac_address", field="mac_address", check=checks.mac_address),
        Attribute(name="fixed_ips", field="fixed_ips", check=fixed_ips, show=show_fixed_ips, filter=None),
        Attribute(name="device_id", field="device_id", check=checks.text(255), default=""),
        Attribute(name="device_owner", field="device_owner", check=checks.text(255), default=""),
        Attribute(name="security_groups", field="security_groups", check=checks.uuids, show=list, filter=None),
        Attribute(name="port_security_enabled", field="port_security", check=checks.boolean, filter=boolean_filter),
        Attribute(
            name="allowed_address_pairs",
            field="allowed_address_pairs",
            check=_address_pairs,
            show=_show_pairs,
            filter=None,
        ),
        Attribute(name="binding:host_id", field="binding_host", check=_host, default=""),
        Attribute(
            name="binding:vnic_type", field="binding_vnic_type", check=checks.one_of(_VNIC_TYPES), default="normal"
        ),
        Attribute(name="binding:profile", field="binding_profile", check=_profile, default={}, filter=None),
        Attribute(name="binding:vif_type", field="vif_type", post=False, put=False, default="unbound", filter=None),
        Attribute(name="binding:vif_details", field="vif_details", post=False, put=False, default={}, filter=None),
        Attribute(name="qos_policy_id", field="qos_policy_id", check=checks.optional(checks.uuid), default=None),
        Attribute(
            name="qos_network_policy_id",
            field="qos_network_policy_id",
            post=False,
            put=False,
            default=None,
            filter=None,
        ),
        Attribute(name="status", field="status", post=False, put=False),
        Attribute(name="suimon:status_reason", field="status_reason", post=False, put=False, filter=None),
    ),
)
