"""What of Neutron works here: `/v2.0/extensions`. Clients decide by it what they ask for: it may not promise too much.

An alias is listed when the registry has everything it needs (`collection` or `collection:attribute`); what isn't an
attribute but a behaviour (paging, If-Match) is held by the tests of the API.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.responses import Response

from suimon.api.wire import answer
from suimon.model.attributes import Spec


class Extension(NamedTuple):
    """Its name and what it is, as Neutron tells them, and what has to exist for it to work."""

    name: str
    description: str
    needs: tuple[str, ...] = ()


EXTENSIONS: Final[Mapping[str, Extension]] = {
    "address-group": Extension("Address group", "Sets of prefixes for security group rules", ("address-groups",)),
    "address-scope": Extension("Address scope", "Where every address means one thing", ("address-scopes",)),
    "auto-allocated-topology": Extension(
        "Auto Allocated Topology Services", "A network made when first asked for", ("auto-allocated-topology",)
    ),
    "default-subnetpools": Extension(
        "Default Subnetpools", "Subnets from the default pool", ("subnets:use_default_subnetpool",)
    ),
    "l2_adjacency": Extension("L2 Adjacency", "Whether a network is one Ethernet", ("networks:l2_adjacency",)),
    "network_availability_zone": Extension(
        "Network Availability Zone", "Where a network may be", ("networks:availability_zone_hints",)
    ),
    "rbac-address-group": Extension("Add address_group type to RBAC", "Shared address groups", ("rbac-policies",)),
    "rbac-address-scope": Extension("Add address_scope type to RBAC", "Shared address scopes", ("rbac-policies",)),
    "rbac-policies": Extension("RBAC Policies", "Who may use what isn't his", ("rbac-policies",)),
    "rbac-subnetpool": Extension("Add subnetpool type to RBAC", "Shared subnet pools", ("rbac-policies",)),
    "subnet-external-network": Extension(
        "Subnet belongs to external network", "Whether a subnet leads outside", ("subnets:router:external",)
    ),
    "subnet-segmentid-writable": Extension(
        "Subnet SegmentID (writable)", "The segment of a subnet can be set", ("subnets:segment_id",)
    ),
    "subnet-service-types": Extension(
        "Subnet service types", "Which ports a subnet has addresses for", ("subnets:service_types",)
    ),
    "subnet_allocation": Extension("Subnet Allocation", "Subnets from pools", ("subnetpools",)),
    "subnet_onboard": Extension(
        "Subnet Onboard", "Subnets moved into a pool", ("subnetpools PUT {}/onboard_network_subnets",)
    ),
    "subnetpool-prefix-ops": Extension(
        "Subnet Pool Prefix Operations", "Prefixes added and removed one by one", ("subnetpools/add_prefixes",)
    ),
    "agent": Extension("agent", "Hypervisors as Neutron's agents", ("agents",)),
    "availability_zone": Extension("Availability Zone", "Where networks and routers may be", ("availability_zones",)),
    "dhcp_agent_scheduler": Extension(
        "DHCP Agent Scheduler", "Which agents answer DHCP of a network", ("agents", "networks")
    ),
    "l3_agent_scheduler": Extension("L3 Agent Scheduler", "Which agents route for a router", ("agents", "routers")),
    "metering": Extension("Neutron Metering", "Labels and rules of what to count", ("metering/metering-labels",)),
    "metering_source_and_destination_fields": Extension(
        "Neutron Metering with source and destination filtering",
        "Metering rules by source and destination",
        ("metering/metering-label-rules:source_ip_prefix",),
    ),
    "network-ip-availability": Extension(
        "Network IP Availability", "How many addresses networks have left", ("network-ip-availabilities",)
    ),
    "network-segment-range": Extension(
        "Neutron Network Segment Range", "Segment ids set aside for projects", ("network_segment_ranges",)
    ),
    "segment": Extension("Segment", "The segment of each network", ("segments",)),
    "service-type": Extension("Neutron Service Type Management", "Who does which service", ("service-providers",)),
    "standard-attr-segment": Extension(
        "standard-attr-segment", "Standard attributes of segments", ("segments:created_at",)
    ),
    "logging": Extension("Logging API Extension", "What is wanted logged, kept and checked", ("log/logs",)),
    "qos-bw-minimum-ingress": Extension(
        "Ingress direction for QoS minimum bandwidth rule",
        "Minimum bandwidth both ways",
        ("qos/policies/minimum_bandwidth_rules:direction",),
    ),
    "qos-default": Extension(
        "QoS default policy", "A policy that a project's new networks get", ("qos/policies:is_default",)
    ),
    "qos-fip": Extension("Floating IP QoS", "A policy on a floating IP", ("floatingips:qos_policy_id",)),
    "qos-fip-network-policy": Extension(
        "QoS floating IP network policy ID",
        "The policy of a floating IP's network",
        ("floatingips:qos_network_policy_id",),
    ),
    "qos-port-network-policy": Extension(
        "QoS port network policy ID", "The policy of a port's network", ("ports:qos_network_policy_id",)
    ),
    "qos-pps": Extension(
        "QoS Rule Type Packet per Second Extension", "Limits in packets", ("qos/policies/packet_rate_limit_rules",)
    ),
    "qos-pps-minimum": Extension(
        "QoS minimum packet rate rule", "Minimum packet rates, kept", ("qos/policies/minimum_packet_rate_rules",)
    ),
    "qos-pps-minimum-rule-alias": Extension(
        "QoS minimum packet rate rule alias",
        "Minimum packet rate rules without their policy",
        ("qos/alias-minimum-packet-rate-rules",),
    ),
    "qos-rule-type-details": Extension(
        "Details of QoS rule types", "Who carries a rule type out", ("qos/rule-types GET {}",)
    ),
    "qos-rule-type-filter": Extension(
        "Allow to filter the list of QoS rule types", "all_supported and all_rules", ("qos/rule-types",)
    ),
    "qos-rules-alias": Extension(
        "Quality of Service rules alias API", "Rules without their policy", ("qos/alias-bandwidth-limit-rules",)
    ),
    "security-groups-default-rules": Extension(
        "Default rules for security groups", "What new groups start with", ("default-security-group-rules",)
    ),
    "security-groups-remote-address-group": Extension(
        "Remote address group id field for security group rules",
        "Rules for the addresses of a group",
        ("security-group-rules:remote_address_group_id", "address-groups"),
    ),
    "security-groups-rules-belongs-to-default-sg": Extension(
        "Security group rule belongs to the project's default security group",
        "Whether a rule is of a default group",
        ("security-group-rules:belongs_to_default_sg",),
    ),
    "security-groups-shared-filtering": Extension(
        "Security group filtering on the shared field",
        "Groups that are shared, or are not",
        ("security-groups:shared", "rbac-policies"),
    ),
    "rbac-security-groups": Extension(
        "Add security_group type to network RBAC",
        "Groups shared with projects",
        ("security-groups:shared", "rbac-policies"),
    ),
    "stateful-security-group": Extension(
        "Stateful security group", "Whether answers need rules of their own", ("security-groups:stateful",)
    ),
    "allowed-address-pairs": Extension(
        "Allowed Address Pairs", "Further addresses that a port may use", ("ports:allowed_address_pairs",)
    ),
    "binding": Extension("Port Binding", "Which host a port is on, and how", ("ports:binding:host_id",)),
    "aap-reject-multicast": Extension(
        "Allowed address pairs reject multicast", "No address pair is a group's", ("ports:allowed_address_pairs",)
    ),
    "binding-extended": Extension(
        "Port Bindings Extended", "Ports on several hosts, for live migration", ("ports/bindings",)
    ),
    "data-plane-status": Extension(
        "Port data plane status extension", "What a watcher says of a port", ("ports:data_plane_status",)
    ),
    "dns-domain-ports": Extension("dns_domain for ports", "The domain of a port's name", ("ports:dns_domain",)),
    "dns-integration": Extension(
        "DNS Integration",
        "Names of ports, networks and floating IPs",
        ("ports:dns_name", "networks:dns_domain", "floatingips:dns_name"),
    ),
    "extra_dhcp_opt": Extension("Neutron Extra DHCP options", "DHCP options of a port", ("ports:extra_dhcp_opts",)),
    "ip-substring-filtering": Extension(
        "IP address substring filtering", "Ports by a part of an address", ("ports:fixed_ips",)
    ),
    "ip_allocation": Extension("IP Allocation", "How a port got its addresses", ("ports:ip_allocation",)),
    "port-device-profile": Extension("Port device profile", "A device profile of Cyborg", ("ports:device_profile",)),
    "port-hardware-offload-type": Extension(
        "Port hardware offload", "What a port wants done by hardware", ("ports:hardware_offload_type",)
    ),
    "port-hint-ovs-tx-steering": Extension("Port hint: Open vSwitch Tx steering", "thread or hash", ("ports:hints",)),
    "port-hints": Extension("Port hints", "What Open vSwitch is told of a port", ("ports:hints",)),
    "port-mac-address-regenerate": Extension(
        "Neutron Port MAC address regenerate", "A null MAC is a new one", ("ports:mac_address",)
    ),
    "port-numa-affinity-policy": Extension(
        "Port NUMA affinity policy", "How near an instance is to its port", ("ports:numa_affinity_policy",)
    ),
    "port-numa-affinity-policy-socket": Extension(
        'Port NUMA affinity policy "socket"', "The same socket", ("ports:numa_affinity_policy",)
    ),
    "port-resource-request": Extension(
        "Port Resource Request", "What Placement is asked for", ("ports:resource_request",)
    ),
    "port-resource-request-groups": Extension(
        "Port Resource Request Groups", "In several groups", ("ports:resource_request",)
    ),
    "port-trusted-vif": Extension("Port trusted vif", "Whether a port is trusted", ("ports:trusted",)),
    "security-groups-port-filtering": Extension(
        "Port filtering on security groups", "Ports of a security group", ("ports:security_groups",)
    ),
    "trunk": Extension("Trunk Extension", "Ports that carry other ports", ("trunks",)),
    "trunk-details": Extension("Trunk port details", "The trunk of a parent port", ("ports:trunk_details",)),
    "uplink-status-propagation": Extension(
        "Port uplink status propagation", "Whether a port follows its uplink", ("ports:propagate_uplink_status",)
    ),
    "uplink-status-propagation-updatable": Extension(
        "Uplink status propagation updatable extension", "It can be changed", ("ports:propagate_uplink_status",)
    ),
    "empty-string-filtering": Extension("Empty String Filtering", "An empty value filters for the empty string"),
    "external-net": Extension("Neutron external network", "Networks that lead outside", ("networks:router:external",)),
    "extraroute": Extension("Neutron Extra Route", "Static routes of a router", ("routers:routes",)),
    "extraroute-atomic": Extension(
        "Atomically add/remove extra routes", "Routes added and removed one by one", ("routers/add_extraroutes",)
    ),
    "filter-validation": Extension("Filter parameters validation", "Unknown filters are refused"),
    "fip-port-details": Extension(
        "Floating IP Port Details Extension", "The port behind a floating IP", ("floatingips:port_details",)
    ),
    "dvr": Extension("Distributed Virtual Router", "Whether a router is distributed", ("routers:distributed",)),
    "expose-l3-conntrack-helper": Extension(
        "Expose CT target rules for conntrack helper", "A router's conntrack helpers", ("routers:conntrack_helpers",)
    ),
    "expose-port-forwarding-in-fip": Extension(
        "Expose Floating IP port forwardings", "What a floating IP forwards", ("floatingips:port_forwardings",)
    ),
    "ext-gw-mode": Extension(
        "Neutron L3 Configurable external gateway mode",
        "Source NAT at the gateway",
        ("routers:external_gateway_info",),
    ),
    "flavors": Extension("Neutron Service Flavors", "What tenants choose of services", ("flavors", "service_profiles")),
    "floating-ip-port-forwarding": Extension(
        "Floating IP Port Forwarding", "Ports of a floating IP that lead to others", ("floatingips/port_forwardings",)
    ),
    "floating-ip-port-forwarding-description": Extension(
        "Floating IP Port Forwarding new attribute description",
        "A description of each forwarding",
        ("floatingips/port_forwardings:description",),
    ),
    "floating-ip-port-forwarding-detail": Extension(
        "Floating IP port forwarding detail", "Ids in what a floating IP forwards", ("floatingips:port_forwardings",)
    ),
    "floating-ip-port-forwarding-port-ranges": Extension(
        "Floating IP Port Forwarding support port ranges",
        "Ranges of ports",
        ("floatingips/port_forwardings:external_port_range",),
    ),
    "floating-ip-router-writable": Extension(
        "Floating IP Router (writable)", "A floating IP's router can be chosen", ("floatingips:router_id",)
    ),
    "floatingip-pools": Extension(
        "Floating IP Pools Extension", "The subnets that floating IPs are of", ("floatingip-pools",)
    ),
    "l3-conntrack-helper": Extension(
        "L3 Conntrack helper", "Conntrack helpers of routers", ("routers/conntrack_helpers",)
    ),
    "l3-ext-ndp-proxy": Extension(
        "Router support to enable NDP proxy", "Whether a router proxies NDP", ("routers:enable_ndp_proxy",)
    ),
    "l3-flavors": Extension("Router Flavor Extension", "The flavor of a router", ("routers:flavor_id", "flavors")),
    "l3-ha": Extension("HA Router extension", "Whether a router is highly available", ("routers:ha",)),
    "l3-ndp-proxy": Extension("L3 NDP Proxy", "IPv6 addresses that a router answers for", ("ndp_proxies",)),
    "l3-port-ip-change-not-allowed": Extension(
        "Prevent L3 router ports IP address change extension", "A router's ports keep their addresses", ("routers",)
    ),
    "local_ip": Extension("Local IP", "Addresses that mean a port of the same host", ("local_ips",)),
    "net-mtu": Extension("Network MTU", "The MTU of a network", ("networks:mtu",)),
    "net-mtu-writable": Extension("Network MTU (writable)", "The MTU of a network can be set", ("networks:mtu",)),
    "pagination": Extension("Pagination support", "Lists come in pages when a limit is given"),
    "port-security": Extension("Port Security", "Anti-spoofing and groups of a port", ("ports:port_security_enabled",)),
    "project-id": Extension("project_id field enabled", "Owners are called project_id"),
    "provider": Extension(
        "Provider Network", "Networks on a segment that the operator names", ("networks:provider:network_type",)
    ),
    "qos": Extension("Quality of Service", "Policies of limits and blocks", ("qos/policies",)),
    "qos-bw-limit-direction": Extension(
        "Direction for QoS bandwidth limit rule", "Limits both ways", ("qos/policies/bandwidth_limit_rules:direction",)
    ),
    "quota-check-limit": Extension(
        "Quota engine limit check", "A quota below what is used is refused when asked", ("quotas",)
    ),
    "quota-check-limit-default": Extension(
        "Quota engine limit check by default", "A quota below what is used is refused unless forced", ("quotas",)
    ),
    "quota_details": Extension(
        "Quota details management support", "What a project uses of its quota", ("quotas GET {}/details",)
    ),
    "quotas": Extension("Quota management support", "How much a project may have", ("quotas",)),
    "revision-if-match": Extension("If-Match constraints based on revision_number", "A change only of what was read"),
    "router": Extension("Neutron L3 Router", "Routers between networks, and floating IPs", ("routers", "floatingips")),
    "qos-gateway-ip": Extension(
        "Router gateway IP QoS", "A policy on a router's gateway", ("routers:external_gateway_info", "qos/policies")
    ),
    "router-admin-state-down-before-update": Extension(
        "Enforce Router's Admin State Down Before Update Extension",
        "A router is down while it changes its kind",
        ("routers:distributed",),
    ),
    "router_availability_zone": Extension(
        "Router Availability Zone", "Where a router may be", ("routers:availability_zone_hints",)
    ),
    "security-group": Extension(
        "security-group", "Security groups and their rules", ("security-groups", "security-group-rules")
    ),
    "security-groups-normalized-cidr": Extension(
        "Normalized CIDR field for security group rules",
        "A rule's prefix without host bits",
        ("security-group-rules:normalized_cidr",),
    ),
    "sorting": Extension("Sorting support", "Lists can be sorted"),
    "standard-attr-description": Extension("standard-attr-description", "A description on everything"),
    "standard-attr-revisions": Extension("Resource revision numbers", "A number that rises with each change"),
    "standard-attr-tag": Extension(
        "Tag support for resources with standard attribute", "Tags on things", ("networks PUT {}/tags/{}",)
    ),
    "standard-attr-timestamp": Extension("Resource timestamps", "When something was made and changed"),
    "tag-ports-during-bulk-creation": Extension(
        "Tag Ports During Bulk Creation", "Ports are given tags when they are made", ("ports:tags",)
    ),
    "suimon-port-block": Extension(
        "QoS port block rules",
        "Rules that block L4 ports, established connections too",
        ("qos/policies/port_block_rules",),
    ),
}


def listed(things: frozenset[str]) -> Response:
    """All that work. `things` is what the registry has, as `needs` names it."""
    return answer({"extensions": [_told(alias) for alias, it in EXTENSIONS.items() if things.issuperset(it.needs)]})


def one(things: frozenset[str], alias: str) -> Response:
    """One that works; otherwise the 404 that Neutron has for this path alone."""
    if alias in EXTENSIONS and things.issuperset(EXTENSIONS[alias].needs):
        return answer({"extension": _told(alias)})
    message = f"The resource could not be found.<br /><br />\nExtension with alias {alias} does not exist\n\n"
    return answer({"code": "404 Not Found", "title": "Not Found", "message": message}, 404)


def things_of(path: str, spec: Spec) -> set[str]:
    """A collection and its attributes, as `needs` names them."""
    return {path} | {f"{path}:{attribute.name}" for attribute in spec.attributes}


def _told(alias: str) -> dict[str, object]:
    name, description, _ = EXTENSIONS[alias]
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "links": [],
        "updated": "2026-11-01T00:00:00-00:00",
    }
