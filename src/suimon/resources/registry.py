"""Every kind of resource that the network API serves, by the collection's path in URLs, and the acts on it.

A kind is one entry of `RESOURCES`, made of the parts in `resources.resource`. How to register each shape:

    kept in a table        "networks": resource(NETWORKS, create_networks, update_network, delete_network)
    without some acts      the same with None, or Resource(spec=…, get=…, list=…): what is None answers 405
    computed, no table     list=few(SPEC, act): `act(tx, actor)` gives all that the actor sees; filtered and cut for it
    path and keys differ   the entry's name is the path, `spec.singular` and `spec.plural` are the keys in bodies
    PUT /ID/ACTION         actions={"add_subports": act}: `act(tx, actor, id, body)` gives the answer's body, wrapped
                           or bare as Neutron has it
    anything else below    views={"GET {}/get_subports": View(act), "POST {}/dhcp-networks": View(act, 201),
                           "DELETE {}/dhcp-networks/{}": View(act, 204)}: `act(tx, actor, asked)`, `asked.ids` are the
                           `{}`; a view comes before what else would answer there; View(…, writes=True) for a GET that
                           makes things
    inside of another      children={"bindings": Child(spec=…, get=…, list=few_below(SPEC, act), …)}: the second id is
                           whatever the child is known by below its parent; acts that are None answer 405
    below a child          Child(views={"PUT {}/activate": View(act)}): `asked.ids` is (parent, child)
    found without parent   an entry of its own: "alias-bandwidth-limit-rules": Resource(spec=…, get=…, update=…)
    made when looked at    unprepared=, prepare=

Bodies are checked by `spec.for_create` and `for_update` before an act sees them, but those of actions and views, which
get them as they came. A kind whose spec has `tags` gets `/ID/tags` and the filters by tags, one whose spec has
`revision_number` gets If-Match, without a word here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from suimon.model.specs.logs import LOGGABLE_RESOURCE
from suimon.model.specs.qos import RULE_TYPE
from suimon.resources import (
    address_groups,
    address_scopes,
    agents,
    auto_allocated,
    conntrack_helpers,
    default_group_rules,
    flavors,
    floating_ips,
    installation,
    local_ips,
    logs,
    metering,
    ndp_proxies,
    network_segments,
    networks,
    port_bindings,
    port_forwardings,
    ports,
    qos,
    qos_rules,
    quotas,
    rbac,
    router_interfaces,
    routers,
    security_group_rules,
    security_groups,
    segment_ranges,
    subnet_pools,
    subnets,
    trunks,
)
from suimon.resources.resource import Child, Resource, View, few, few_below, resource
from suimon.resources.tags import tag_views, tagged

_SEGMENT_RANGES: Final = Resource(
    spec=segment_ranges.SPEC,
    get=segment_ranges.get_range,
    list=segment_ranges.list_ranges,
    create=segment_ranges.create_range,
    update=segment_ranges.update_range,
    delete=segment_ranges.delete_range,
)
"""Clients write its path both ways."""

RESOURCES: Final[dict[str, Resource]] = {
    "networks": resource(
        networks.NETWORKS,
        networks.create_networks,
        networks.update_network,
        networks.delete_network,
        views=agents.NETWORK_VIEWS,
    ),
    "subnets": resource(subnets.SUBNETS, subnets.create_subnets, subnets.update_subnet, subnets.delete_subnet),
    "subnetpools": resource(
        subnet_pools.SUBNET_POOLS,
        subnet_pools.create_subnet_pools,
        subnet_pools.update_subnet_pool,
        subnet_pools.delete_subnet_pool,
        actions={"add_prefixes": subnet_pools.add_prefixes, "remove_prefixes": subnet_pools.remove_prefixes},
        views={"PUT {}/onboard_network_subnets": View(subnet_pools.onboard_network_subnets)},
    ),
    "address-scopes": resource(
        address_scopes.ADDRESS_SCOPES,
        address_scopes.create_address_scopes,
        address_scopes.update_address_scope,
        address_scopes.delete_address_scope,
    ),
    "address-groups": resource(
        address_groups.ADDRESS_GROUPS,
        address_groups.create_address_groups,
        address_groups.update_address_group,
        address_groups.delete_address_group,
        actions={
            "add_addresses": address_groups.add_addresses,
            "remove_addresses": address_groups.remove_addresses,
        },
    ),
    "rbac-policies": resource(rbac.ENTRIES, rbac.create_entries, rbac.update_entry, rbac.delete_entry),
    "auto-allocated-topology": auto_allocated.TOPOLOGY,
    "ports": resource(
        ports.PORTS,
        ports.create_ports,
        ports.update_port,
        ports.delete_port,
        children={
            "bindings": Child(
                spec=port_bindings.SPEC,
                get=port_bindings.get_binding,
                list=few_below(port_bindings.SPEC, port_bindings.list_bindings),
                create=port_bindings.create_binding,
                update=lambda tx, actor, port, host, wanted, _expected: port_bindings.update_binding(
                    tx, actor, port, host, wanted
                ),
                delete=lambda tx, actor, port, host, _expected: port_bindings.delete_binding(tx, actor, port, host),
                views={"PUT {}/activate": View(port_bindings.activate)},
            )
        },
    ),
    "trunks": resource(
        trunks.TRUNKS,
        trunks.create_trunks,
        trunks.update_trunk,
        trunks.delete_trunk,
        actions={"add_subports": trunks.add_subports, "remove_subports": trunks.remove_subports},
        views={"GET {}/get_subports": View(trunks.get_subports)},
    ),
    "security-groups": resource(
        security_groups.SECURITY_GROUPS,
        security_groups.create_security_groups,
        security_groups.update_security_group,
        security_groups.delete_security_group,
        unprepared=security_groups.lacks_default,
        prepare=security_groups.ensure_default,
    ),
    "security-group-rules": resource(
        security_group_rules.SECURITY_GROUP_RULES,
        security_group_rules.create_rules,
        None,
        security_group_rules.delete_rule,
        unprepared=security_groups.lacks_default,
        prepare=security_groups.ensure_default,
    ),
    "default-security-group-rules": resource(
        default_group_rules.DEFAULT_GROUP_RULES,
        default_group_rules.create_default_rules,
        None,
        default_group_rules.delete_default_rule,
    ),
    "log/logs": msgspec.structs.replace(
        resource(logs.LOGS, logs.create_logs, logs.update_log, logs.delete_log),
        get=logs.get_log,
        list=logs.list_logs,
        listed=None,
    ),
    "log/loggable-resources": Resource(spec=LOGGABLE_RESOURCE, list=logs.list_loggable),
    "routers": resource(
        routers.ROUTERS,
        routers.create_routers,
        routers.update_router,
        routers.delete_router,
        actions={
            "add_router_interface": router_interfaces.add_router_interface,
            "remove_router_interface": router_interfaces.remove_router_interface,
            "add_extraroutes": routers.add_extraroutes,
            "remove_extraroutes": routers.remove_extraroutes,
        },
        children={
            "conntrack_helpers": Child(
                spec=conntrack_helpers.SPEC,
                get=conntrack_helpers.get_conntrack_helper,
                list=few_below(conntrack_helpers.SPEC, conntrack_helpers.list_conntrack_helpers),
                create=conntrack_helpers.create_conntrack_helper,
                update=lambda tx, actor, router, id_, wanted, _expected: conntrack_helpers.update_conntrack_helper(
                    tx, actor, router, id_, wanted
                ),
                delete=conntrack_helpers.delete_conntrack_helper,
            )
        },
        views=agents.ROUTER_VIEWS,
    ),
    "floatingips": resource(
        floating_ips.FLOATING_IPS,
        floating_ips.create_floating_ips,
        floating_ips.update_floating_ip,
        floating_ips.delete_floating_ip,
        children={
            "port_forwardings": Child(
                spec=port_forwardings.SPEC,
                get=port_forwardings.get_forwarding,
                list=few_below(port_forwardings.SPEC, port_forwardings.list_forwardings),
                create=port_forwardings.create_forwarding,
                update=lambda tx, actor, floating_ip, id_, wanted, _expected: port_forwardings.update_forwarding(
                    tx, actor, floating_ip, id_, wanted
                ),
                delete=port_forwardings.delete_forwarding,
            )
        },
    ),
    "floatingip-pools": Resource(
        spec=floating_ips.POOL_SPEC, list=few(floating_ips.POOL_SPEC, floating_ips.list_pools)
    ),
    "ndp_proxies": resource(
        ndp_proxies.NDP_PROXIES, ndp_proxies.create_proxies, ndp_proxies.update_proxy, ndp_proxies.delete_proxy
    ),
    "local_ips": resource(
        local_ips.LOCAL_IPS,
        local_ips.create_local_ips,
        local_ips.update_local_ip,
        local_ips.delete_local_ip,
        children={
            "port_associations": Child(
                spec=local_ips.ASSOCIATION_SPEC,
                get=local_ips.get_association,
                list=few_below(local_ips.ASSOCIATION_SPEC, local_ips.list_associations),
                create=local_ips.create_association,
                delete=local_ips.delete_association,
            )
        },
    ),
    "flavors": resource(
        flavors.FLAVORS,
        flavors.create_flavors,
        flavors.update_flavor,
        flavors.delete_flavor,
        children={
            "service_profiles": Child(
                spec=flavors.BOUND_SPEC,
                get=flavors.bound_profile,
                list=few_below(flavors.BOUND_SPEC, flavors.bound_profiles),
                create=flavors.bind_profile,
                delete=flavors.unbind_profile,
            )
        },
        views={"GET {}/next_providers": View(flavors.next_providers)},
    ),
    "service_profiles": resource(
        flavors.SERVICE_PROFILES, flavors.create_profiles, flavors.update_profile, flavors.delete_profile
    ),
    "metering/metering-labels": resource(metering.METERING_LABELS, metering.create_labels, None, metering.delete_label),
    "metering/metering-label-rules": resource(
        metering.METERING_LABEL_RULES, metering.create_label_rules, None, metering.delete_label_rule
    ),
    "network-segment-ranges": _SEGMENT_RANGES,
    "network_segment_ranges": _SEGMENT_RANGES,
    "segments": Resource(
        spec=network_segments.SPEC,
        get=network_segments.get_segment,
        list=network_segments.list_segments,
        create=network_segments.create_segment,
        update=network_segments.update_segment,
        delete=network_segments.delete_segment,
    ),
    "service-providers": Resource(spec=installation.PROVIDER_SPEC, list=installation.list_service_providers),
    "availability_zones": Resource(spec=installation.ZONE_SPEC, list=installation.list_availability_zones),
    "network-ip-availabilities": Resource(
        spec=installation.IP_SPEC,
        get=installation.get_ip_availability,
        list=installation.list_ip_availabilities,
    ),
    "agents": Resource(
        spec=agents.SPEC,
        get=agents.get_agent,
        list=agents.list_agents,
        update=agents.update_agent,
        delete=agents.delete_agent,
        views=agents.VIEWS,
    ),
    "qos/policies": resource(
        qos.QOS_POLICIES,
        qos.create_policies,
        qos.update_policy,
        qos.delete_policy,
        children=qos_rules.CHILDREN,
    ),
    "qos/rule-types": Resource(
        spec=RULE_TYPE, list=qos_rules.list_rule_types, views={"GET {}": View(qos_rules.show_rule_type)}
    ),
    **qos_rules.ALIASES,
    "quotas": quotas.QUOTAS,
    "policies": Resource(spec=qos.SPEC, views=tag_views(qos.SPEC, qos.QOS_POLICIES.get)),
}
RESOURCES.update(tagged(RESOURCES))
