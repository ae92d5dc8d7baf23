"""Who may do what: one table, named as Neutron's policy names, and the one function that asks it.

`create_x`, `update_x`, `delete_x` are acts; `update_x:attribute` is needed besides to set that attribute,
`get_x:attribute` to see it. Acts without a line need nobody's permission; whether a resource is visible at all is said
in `resources.listing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from suimon.model.actor import Actor
from suimon.model.attributes import Rule, Spec, Target
from suimon.model.errors import Forbidden

_WRITERS: Final = frozenset({"member", "manager"})


def admin(actor: Actor, _target: Target) -> bool:
    """Operators of the cloud."""
    return actor.admin


def owner(actor: Actor, target: Target) -> bool:
    """Who may write in the thing's project: its members; a reader, or whoever has a role of his own only, may not."""
    return actor.admin or (_writes(actor) and actor.project_id == target.project_id)


def network_owner(actor: Actor, target: Target) -> bool:
    """Who may write in the project of the network that the thing is on."""
    return actor.admin or (_writes(actor) and actor.project_id == target.network_project_id)


def either_owner(actor: Actor, target: Target) -> bool:
    """The thing's owner or its network's."""
    return owner(actor, target) or network_owner(actor, target)


def _writes(actor: Actor) -> bool:
    return bool(actor.project_id) and bool(_WRITERS & actor.roles)


RULES: dict[str, Rule] = {
    "create_network": owner,
    "create_network:shared": admin,
    "create_network:router:external": admin,
    "create_network:provider:network_type": admin,
    "create_network:provider:physical_network": admin,
    "create_network:provider:segmentation_id": admin,
    "get_network:provider:network_type": admin,
    "get_network:provider:physical_network": admin,
    "get_network:provider:segmentation_id": admin,
    "update_network": owner,
    "update_network:shared": admin,
    "update_network:router:external": admin,
    "delete_network": owner,
    "create_subnet": network_owner,
    "create_subnet:project_id": owner,
    "update_subnet": either_owner,
    "delete_subnet": either_owner,
    "create_port": owner,
    "create_port:device_owner:network": network_owner,
    "create_port:mac_address": network_owner,
    "create_port:fixed_ips:ip_address": network_owner,
    "create_port:port_security_enabled": network_owner,
    "create_port:allowed_address_pairs": network_owner,
    "create_port:binding:host_id": admin,
    "create_port:binding:profile": admin,
    "get_port:binding:host_id": admin,
    "get_port:binding:profile": admin,
    "get_port:binding:vif_type": admin,
    "get_port:binding:vif_details": admin,
    "update_port": owner,
    "update_port:device_owner:network": network_owner,
    "update_port:mac_address": admin,
    "update_port:fixed_ips:ip_address": network_owner,
    "update_port:port_security_enabled": network_owner,
    "update_port:allowed_address_pairs": network_owner,
    "update_port:binding:host_id": admin,
    "update_port:binding:profile": admin,
    "delete_port": either_owner,
    "create_security_group": owner,
    "update_security_group": owner,
    "delete_security_group": owner,
    "create_security_group_rule": owner,
    "delete_security_group_rule": owner,
    "create_router": owner,
    "create_router:external_gateway_info:enable_snat": admin,
    "create_router:external_gateway_info:external_fixed_ips": admin,
    "update_router": owner,
    "update_router:external_gateway_info:enable_snat": admin,
    "update_router:external_gateway_info:external_fixed_ips": admin,
    "delete_router": owner,
    "add_router_interface": owner,
    "remove_router_interface": owner,
    "add_extraroutes": owner,
    "remove_extraroutes": owner,
    "create_floatingip": owner,
    "create_floatingip:floating_ip_address": admin,
    "update_floatingip": owner,
    "delete_floatingip": owner,
    "create_policy": admin,
    "update_policy": admin,
    "delete_policy": admin,
    "create_policy_bandwidth_limit_rule": admin,
    "update_policy_bandwidth_limit_rule": admin,
    "delete_policy_bandwidth_limit_rule": admin,
    "create_policy_port_block_rule": admin,
    "update_policy_port_block_rule": admin,
    "delete_policy_port_block_rule": admin,
    "detach_qos_policy": owner,
}
"""Name → rule. Neutron's defaults, but for `port_block_rule` and `detach_qos_policy`, which are ours."""


def require(actor: Actor, name: str, target: Target) -> None:
    """Raises Forbidden unless the rule of this name allows it."""
    if not RULES[name](actor, target):
        raise Forbidden(f"rule:{name} is disallowed by policy")


def require_act(actor: Actor, act: str, spec: Spec, wanted: Mapping[str, object], target: Target) -> None:
    """The act itself, and each attribute that `wanted` sets."""
    require(actor, act, target)
    for name in spec.set_fields(wanted, act):
        require(actor, name, target)
