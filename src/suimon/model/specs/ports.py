"""Ports in the API."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_interface
from typing import Any, Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, UNGIVEN, Attribute, Spec, boolean_filter, standard
from suimon.model.checks import Unfit
from suimon.model.errors import BadRequest, CallerError, Conflict
from suimon.model.specs.dhcp_options import extra_dhcp_opts, show_dhcp_options
from suimon.model.specs.dns import dns_domain, dns_name
from suimon.model.specs.tags import PORT_TAGS
from suimon.model.view import AddressPair, FixedIp

MAX_FIXED_IPS: Final = 5
MAX_ADDRESS_PAIRS: Final = 10
MAX_PROFILE_BYTES: Final = 4095
VNIC_TYPES: Final = (
    "normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic", "vdpa",
    "accelerator-direct", "accelerator-direct-physical", "remote-managed",
)  # fmt: skip
_NUMA_POLICIES: Final = ("required", "preferred", "legacy", "socket")
_HINTS: Final = {"openvswitch": {"other_config": {"tx-steering": ("thread", "hash")}}}


class WantedIp(msgspec.Struct, frozen=True):
    """What a port asks for: an address, any address of a subnet, or this address on this subnet."""

    subnet_id: str | None = None
    ip: str | None = None


class WantedPair(msgspec.Struct, frozen=True):
    """An address pair whose MAC, when it has none, is the port's."""

    mac: str | None
    cidr: str


@checks.takes(
    checks.listed(checks.having({"subnet_id": checks.schema_of(checks.uuid), "ip_address": {"type": "string"}}))
)
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


@checks.takes(
    checks.listed(
        checks.having(
            {"ip_address": {"type": "string"}, "mac_address": checks.schema_of(checks.mac_address)}, "ip_address"
        )
    )
)
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
        kept = str(checks.cidr(ip) if isinstance(ip, str) and "/" in ip else checks.address(ip))
        if ip_interface(kept).is_multicast:
            raise Unfit(f"IP {ip} is a multicast address, which is not supported.")
        return WantedPair(None if mac is None else str(checks.mac_address(mac)), kept)
    except Unfit as unfit:
        raise BadRequest(str(unfit)) from None


@checks.takes({"type": ["string", "null"], "maxLength": 255})
def _host(value: object) -> object:
    """A host's name; null, which clients send to unbind a port, is the empty one."""
    return "" if value is None else checks.text(255)(value)


@checks.takes(checks.nullable(checks.schema_of(checks.mac_address) or {}))
def mac_address(value: object) -> object:
    """A MAC address; null asks for one of our choice."""
    return UNGIVEN if value is None else checks.mac_address(value)


@checks.takes({"type": ["object", "null"]})
def hints(value: object) -> object:
    """What Open vSwitch is told of the port's interface, as {"openvswitch": {"other_config": {…}}}, or null."""
    if value is not None:
        _require_hints(value, _HINTS)
    return value


def _require_hints(value: object, known: Any) -> None:
    if not isinstance(known, dict):
        checks.one_of(known)(value)
        return
    if not isinstance(value, dict):
        raise Unfit(f"'{value}' is not a dictionary")
    if unknown := [str(key) for key in value if key not in known]:
        raise Unfit(f"Unexpected keys supplied: {', '.join(unknown)}")
    for key, below in value.items():
        _require_hints(below, known[key])


@checks.takes({"type": ["object", "null"]})
def profile(value: object) -> object:
    """What Nova writes down with a binding; null is an empty one. Raises BadRequest when it is too large."""
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
        PORT_TAGS,
        Attribute(name="network_id", field="network_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(
            name="admin_state_up", field="admin_state_up", check=checks.boolean, default=True, filter=boolean_filter
        ),
        Attribute(name="mac_address", field="mac_address", check=mac_address),
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
            name="binding:vnic_type", field="binding_vnic_type", check=checks.one_of(VNIC_TYPES), default="normal"
        ),
        Attribute(name="binding:profile", field="binding_profile", check=profile, default={}, filter=None),
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
        Attribute(
            name="extra_dhcp_opts",
            field="extra_dhcp_opts",
            check=extra_dhcp_opts,
            default=(),
            show=show_dhcp_options,
            filter=None,
        ),
        Attribute(name="dns_name", field="dns_name", check=dns_name, default="", filter=None),
        Attribute(name="dns_domain", field="dns_domain", check=dns_domain, default="", filter=None),
        Attribute(name="dns_assignment", field="dns_assignment", post=False, put=False, default=(), filter=None),
        Attribute(name="ip_allocation", field="ip_allocation", post=False, put=False),
        Attribute(
            name="data_plane_status",
            field="data_plane_status",
            check=checks.optional(checks.one_of(("ACTIVE", "DOWN"))),
            post=False,
            default=None,
            filter=None,
        ),
        Attribute(
            name="propagate_uplink_status",
            field="propagate_uplink_status",
            check=checks.boolean,
            default=True,
            filter=None,
        ),
        Attribute(name="trusted", field="trusted", check=checks.boolean, default=None, filter=None),
        Attribute(name="hints", field="hints", check=hints, default=None, filter=None),
        Attribute(
            name="numa_affinity_policy",
            field="numa_affinity_policy",
            check=checks.optional(checks.one_of(_NUMA_POLICIES)),
            default=None,
            filter=None,
        ),
        Attribute(
            name="device_profile",
            field="device_profile",
            check=checks.optional(checks.text(255)),
            put=False,
            default=None,
            filter=None,
        ),
        Attribute(
            name="hardware_offload_type",
            field="hardware_offload_type",
            check=checks.optional(checks.one_of(("switchdev",))),
            put=False,
            default=None,
            filter=None,
        ),
        Attribute(name="resource_request", field="resource_request", post=False, put=False, default=None, filter=None),
        Attribute(name="trunk_details", field="trunk_details", post=False, put=False, default=None, filter=None),
        Attribute(name="status", field="status", post=False, put=False),
        Attribute(name="suimon:status_reason", field="status_reason", post=False, put=False, filter=None),
    ),
)
