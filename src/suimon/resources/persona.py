"""Who may do what: one table, named as Neutron's policy names, and the functions that ask it.

`create_x`, `update_x`, `delete_x` are acts; `update_x:attribute` is needed besides to set that attribute,
`get_x:attribute` to see it. Acts without a line need nobody's permission; whether a resource is visible at all is said
in its `Collection`, for those whom `sees_all` doesn't let see everything.

The personas are Neutron's: an admin may do everything; in a project its manager may do what its members may and some
things more, a reader reads; a service (Nova) sees networks, subnets and ports and binds ports in every project.
`resources.policy_file` replaces rules by an operator's before anything is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from suimon.model.actor import Actor
from suimon.model.attributes import Rule, Shown, Spec, Target
from suimon.model.errors import Forbidden
from suimon.model.things import Network
from suimon.store.tx import Tx

_WRITERS: Final = frozenset({"member", "manager"})
_SEEN_BY_SERVICES: Final = frozenset({"network", "subnet", "port"})
_OF_A_SERVICE: Final = ("compute:", "baremetal:", "manila:")
"""Device owners of ports that belong to another service's things: it is told when they go."""


def admin(actor: Actor, _target: Target) -> bool:
    """Operators of the cloud."""
    return actor.admin


def service(actor: Actor, _target: Target) -> bool:
    """The other services of the cloud, and nobody else: not even an admin."""
    return "service" in actor.roles


def admin_or_service(actor: Actor, _target: Target) -> bool:
    """Operators, and the other services of the cloud."""
    return actor.admin or "service" in actor.roles


def owner(actor: Actor, target: Target) -> bool:
    """Who may write in the thing's project: its members; a reader, or whoever has a role of his own only, may not."""
    return actor.admin or (_writes(actor) and actor.project_id == target.project_id)


def reader(actor: Actor, target: Target) -> bool:
    """Who may read in the thing's project."""
    return actor.admin or (bool(actor.project_id) and actor.viewer == target.project_id)


def not_for_everybody(actor: Actor, target: Target) -> bool:
    """Operators share with everybody, others with projects that they name."""
    return actor.admin or "*" not in target.values.values()


def data_plane_integrator(actor: Actor, _target: Target) -> bool:
    """Operators, and whoever watches the data plane for them."""
    return actor.admin or "data_plane_integrator" in actor.roles


def in_charge(actor: Actor, target: Target) -> bool:
    """Who manages the thing's project."""
    return actor.admin or (_manages(actor) and actor.project_id == target.project_id)


def network_owner(actor: Actor, target: Target) -> bool:
    """Who may write in the project of the network that the thing is on."""
    return actor.admin or (_writes(actor) and actor.project_id == target.network_project_id)


def network_in_charge(actor: Actor, target: Target) -> bool:
    """Who manages the project of the network that the thing is on."""
    return actor.admin or (_manages(actor) and actor.project_id == target.network_project_id)


def either_owner(actor: Actor, target: Target) -> bool:
    """The thing's owner or its network's."""
    return owner(actor, target) or network_owner(actor, target)


def or_service(rule: Rule) -> Rule:
    """Those whom the rule lets, and the other services of the cloud."""
    return lambda actor, target: "service" in actor.roles or rule(actor, target)


def port_deleter(actor: Actor, target: Target) -> bool:
    """Either owner; but a server's port only a service may take away, by itself or for the user whom it acts for."""
    if admin_or_service(actor, target):
        return True
    served = str(target.values.get("device_owner", "")).startswith(_OF_A_SERVICE)
    return either_owner(actor, target) and (not served or "service" in actor.service_roles)


def _writes(actor: Actor) -> bool:
    return bool(actor.project_id) and bool(_WRITERS & actor.roles)


def _manages(actor: Actor) -> bool:
    return bool(actor.project_id) and "manager" in actor.roles


RULES: dict[str, Rule] = {
    "create_network": owner,
    "create_network:shared": admin,
    "create_network:router:external": admin,
    "create_network:is_default": admin,
    "create_network:provider:network_type": admin,
    "create_network:provider:physical_network": admin,
    "create_network:provider:segmentation_id": admin,
    "get_network:provider:network_type": admin,
    "get_network:provider:physical_network": admin,
    "get_network:provider:segmentation_id": admin,
    "update_network": owner,
    "update_network:shared": admin,
    "update_network:router:external": admin,
    "update_network:is_default": admin,
    "update_network:provider:network_type": admin,
    "update_network:provider:physical_network": admin,
    "update_network:provider:segmentation_id": admin,
    "delete_network": owner,
    "create_subnet": network_owner,
    "create_subnet:segment_id": admin,
    "update_subnet:segment_id": admin,
    "get_subnet:segment_id": admin,
    "update_subnet": either_owner,
    "delete_subnet": either_owner,
    "create_subnetpool": owner,
    "create_subnetpool:shared": admin,
    "create_subnetpool:is_default": admin,
    "update_subnetpool": owner,
    "update_subnetpool:is_default": admin,
    "delete_subnetpool": owner,
    "add_prefixes": owner,
    "remove_prefixes": owner,
    "onboard_network_subnets": owner,
    "create_address_scope": owner,
    "create_address_scope:shared": admin,
    "update_address_scope": owner,
    "update_address_scope:shared": admin,
    "delete_address_scope": owner,
    "create_address_group": owner,
    "update_address_group": owner,
    "delete_address_group": owner,
    "add_addresses": owner,
    "remove_addresses": owner,
    "create_rbac_policy": owner,
    "create_rbac_policy:target_tenant": not_for_everybody,
    "create_rbac_policy:target_project": not_for_everybody,
    "update_rbac_policy": owner,
    "update_rbac_policy:target_tenant": not_for_everybody,
    "update_rbac_policy:target_project": not_for_everybody,
    "delete_rbac_policy": owner,
    "get_auto_allocated_topology": reader,
    "delete_auto_allocated_topology": owner,
    "create_port": or_service(owner),
    "create_port:device_owner:network": or_service(network_owner),
    "create_port:mac_address": or_service(network_owner),
    "create_port:fixed_ips:ip_address": or_service(network_owner),
    "create_port:port_security_enabled": or_service(network_owner),
    "create_port:allowed_address_pairs": or_service(network_owner),
    "create_port:binding:host_id": admin_or_service,
    "create_port:binding:profile": service,
    "get_port:binding:host_id": admin_or_service,
    "get_port:binding:profile": admin_or_service,
    "get_port:binding:vif_type": admin_or_service,
    "get_port:binding:vif_details": admin_or_service,
    "update_port": or_service(owner),
    "update_port:device_owner:network": or_service(network_owner),
    "update_port:mac_address": or_service(network_in_charge),
    "update_port:fixed_ips:ip_address": or_service(network_owner),
    "update_port:port_security_enabled": or_service(network_owner),
    "update_port:allowed_address_pairs": or_service(network_owner),
    "update_port:binding:host_id": admin_or_service,
    "update_port:binding:profile": service,
    "delete_port": port_deleter,
    "create_port:hints": admin,
    "create_port:trusted": admin,
    "get_port:hints": admin,
    "get_port:trusted": admin,
    "get_port:resource_request": admin,
    "update_port:hints": admin,
    "update_port:trusted": admin,
    "update_port:data_plane_status": data_plane_integrator,
    "get_port_binding": admin_or_service,
    "create_port_binding": service,
    "update_port_binding": service,
    "delete_port_binding": service,
    "activate": service,
    "create_trunk": owner,
    "update_trunk": owner,
    "delete_trunk": owner,
    "add_subports": owner,
    "remove_subports": owner,
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
    "create_router:distributed": admin,
    "create_router:ha": admin,
    "get_router:distributed": admin,
    "get_router:ha": admin,
    "update_router:distributed": admin,
    "update_router:ha": admin,
    "create_router_conntrack_helper": owner,
    "update_router_conntrack_helper": owner,
    "delete_router_conntrack_helper": owner,
    "create_floatingip": owner,
    "create_floatingip:floating_ip_address": in_charge,
    "update_floatingip": owner,
    "delete_floatingip": owner,
    "create_floatingip_port_forwarding": owner,
    "update_floatingip_port_forwarding": owner,
    "delete_floatingip_port_forwarding": owner,
    "create_ndp_proxy": owner,
    "update_ndp_proxy": owner,
    "delete_ndp_proxy": owner,
    "create_local_ip": owner,
    "update_local_ip": owner,
    "delete_local_ip": owner,
    "create_local_ip_port_association": owner,
    "delete_local_ip_port_association": owner,
    "create_flavor": admin,
    "update_flavor": admin,
    "delete_flavor": admin,
    "create_service_profile": admin,
    "update_service_profile": admin,
    "delete_service_profile": admin,
    "create_flavor_service_profile": admin,
    "delete_flavor_service_profile": admin,
    "create_policy": in_charge,
    "update_policy": in_charge,
    "delete_policy": in_charge,
    "create_policy_bandwidth_limit_rule": in_charge,
    "update_policy_bandwidth_limit_rule": in_charge,
    "delete_policy_bandwidth_limit_rule": in_charge,
    "create_policy_port_block_rule": admin,
    "update_policy_port_block_rule": admin,
    "delete_policy_port_block_rule": admin,
    "create_policy_packet_rate_limit_rule": in_charge,
    "update_policy_packet_rate_limit_rule": in_charge,
    "delete_policy_packet_rate_limit_rule": in_charge,
    "create_policy_dscp_marking_rule": in_charge,
    "update_policy_dscp_marking_rule": in_charge,
    "delete_policy_dscp_marking_rule": in_charge,
    "create_policy_minimum_bandwidth_rule": in_charge,
    "update_policy_minimum_bandwidth_rule": in_charge,
    "delete_policy_minimum_bandwidth_rule": in_charge,
    "create_policy_minimum_packet_rate_rule": in_charge,
    "update_policy_minimum_packet_rate_rule": in_charge,
    "delete_policy_minimum_packet_rate_rule": in_charge,
    "create_default_security_group_rule": admin,
    "delete_default_security_group_rule": admin,
    "get_loggable_resource": in_charge,
    "get_log": in_charge,
    "create_log": in_charge,
    "update_log": in_charge,
    "delete_log": in_charge,
    "create_restriction": admin,
    "release_restriction": admin,
    "get_restriction:finding_id": admin,
    "get_restriction:evidence": admin,
    "get_restriction:author": admin,
    "get_restriction:author_kind": admin,
    "get_restriction:released_by": admin,
    "get_restriction:release_reason": admin,
    "create_metering_label": in_charge,
    "delete_metering_label": in_charge,
    "create_metering_label_rule": in_charge,
    "delete_metering_label_rule": in_charge,
    "get_network_segment_range": admin,
    "create_network_segment_range": admin,
    "update_network_segment_range": admin,
    "delete_network_segment_range": admin,
    "get_segment": admin,
    "create_segment": admin,
    "update_segment": admin,
    "delete_segment": admin,
    "get_network_ip_availability": admin_or_service,
    "get_agent": admin,
    "update_agent": admin,
    "delete_agent": admin,
    "get_l3-routers": admin,
    "create_l3-router": admin,
    "delete_l3-router": admin,
    "get_l3-agents": admin,
    "get_dhcp-networks": admin,
    "create_dhcp-network": admin,
    "delete_dhcp-network": admin,
    "get_dhcp-agents": admin,
    "change_operators_tags": admin,
    "create_network:tags": owner,
    "update_network:tags": owner,
    "delete_network:tags": owner,
    "create_subnet:tags": either_owner,
    "update_subnet:tags": either_owner,
    "delete_subnet:tags": either_owner,
    "create_port:tags": owner,
    "update_port:tags": owner,
    "delete_port:tags": either_owner,
    "create_router:tags": owner,
    "update_router:tags": owner,
    "delete_router:tags": owner,
    "create_floatingip:tags": owner,
    "update_floatingip:tags": owner,
    "delete_floatingip:tags": owner,
    "create_security_group:tags": owner,
    "update_security_group:tags": owner,
    "delete_security_group:tags": owner,
    "create_subnetpool:tags": owner,
    "update_subnetpool:tags": owner,
    "delete_subnetpool:tags": owner,
    "create_trunk:tags": owner,
    "update_trunk:tags": owner,
    "delete_trunk:tags": owner,
    "create_policy:tags": in_charge,
    "update_policy:tags": in_charge,
    "delete_policy:tags": in_charge,
    "create_network_segment_range:tags": admin,
    "update_network_segment_range:tags": admin,
    "delete_network_segment_range:tags": admin,
    "get_quota": in_charge,
    "update_quota": admin,
    "delete_quota": admin,
}
"""Name → rule. Neutron's defaults, but for `port_block_rule`, `restriction` and `operators_tags`, which are ours."""
_REPLACED: dict[str, Rule] = {}
"""What an operator's policy file says; empty without one."""


def replace_rules(rules: Mapping[str, Rule]) -> None:
    """An operator's rules instead of ours; to be called once, before anything is served.

    `get_x` of a kind without such a line says which of the things that one sees one is shown.
    """
    _REPLACED.update(rules)
    RULES.update({name: rule for name, rule in rules.items() if name in RULES or ":" in name})


def hidden_from_projects() -> frozenset[str]:
    """The rules about attributes (`get_port:binding:host_id`) that a reader in the thing's own project doesn't pass."""
    own = Actor("", "own", frozenset({"reader"}))
    return frozenset(
        name for name, rule in RULES.items() if name.startswith("get_") and ":" in name and not rule(own, Target("own"))
    )


def sees_all(actor: Actor, singular: str) -> bool:
    """Whether the actor sees this kind of thing in every project."""
    return actor.admin or ("service" in actor.roles and singular in _SEEN_BY_SERVICES)


def narrows(spec: Spec) -> bool:
    """Whether an operator's rule says which things of this kind are shown."""
    return f"get_{spec.singular}" in _REPLACED


def seen(tx: Tx, actor: Actor, spec: Spec, found: Sequence[Shown]) -> Sequence[Shown]:
    """Those that an operator's rule shows to the actor: all of them without such a rule."""
    rule = _REPLACED.get(f"get_{spec.singular}")
    if rule is None:
        return found
    return [shown for shown in found if rule(actor, _target_of(tx, spec, shown))]


def _target_of(tx: Tx, spec: Spec, shown: Shown) -> Target:
    values = {
        attribute.name: shown.extras.get(attribute.field, getattr(shown.thing, attribute.field, attribute.default))
        for attribute in spec.attributes
    }
    network = tx.get(Network, network_id) if isinstance(network_id := values.get("network_id"), str) else None
    return Target(shown.project_id, network.project_id if network else "", values)


def require(actor: Actor, name: str, target: Target) -> None:
    """Raises Forbidden unless the rule of this name allows it."""
    if not allows(actor, name, target):
        raise Forbidden(f"rule:{name} is disallowed by policy")


def allows(actor: Actor, name: str, target: Target) -> bool:
    """Whether the rule of this name allows it."""
    return RULES[name](actor, target)


def permits(actor: Actor, name: str) -> bool:
    """Whether the rule of this name allows it, where the thing is nobody's."""
    return allows(actor, name, Target(""))


def require_act(actor: Actor, act: str, spec: Spec, wanted: Mapping[str, object], target: Target) -> None:
    """The act itself, and each attribute that `wanted` sets."""
    if _REPLACED:
        given = {attribute.name: wanted[attribute.field] for attribute in spec.attributes if attribute.field in wanted}
        target = msgspec.structs.replace(target, values={**given, **target.values})
    require(actor, act, target)
    for name in spec.set_fields(wanted, act):
        require(actor, name, target)
