"""What a write touches: the change log's entries, from a thing before and after it.

An entry (kind, id, scope) says only "whoever holds `scope` looks at this object again"; it carries no value, so that a
late reader sees the newest one. The scope "" is for those who follow the resources themselves. A write that changes
nothing a host is told of (a description, a status) touches no host.

Kinds are those of `model.view`, and some that tell distribution what else to look at: `remote_group` (the holders of a
security group may gain or lose that remote group's members), `accept` (an operator accepted what a host held back),
`router` under a network's scope (the network gained or lost a router), `way_out` under it (a router leaves by it, or no
longer: whose gateway hosts may be others), `external_network` (a physical network has one
more or less), `parted` (a port left its host, its network, a group or a policy, so that the host may need less), and
`floating_ip`, `local_ip` and `restriction` under `port:<id>` (it goes to the host that the port is bound to, which the
floating IP doesn't know; of a virtual address, the port that holds it).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from suimon.model import things
from suimon.model.identity import Project, Role, RoleAssignment, User
from suimon.model.incidents import Incident, NotedFinding
from suimon.model.policies import Clause, Policy
from suimon.model.view import EVERY_HOST

Touch = tuple[str, str, str]
"""(kind, id, scope)."""
Facts = dict[Touch, object]
"""By entry, all that a reader of that entry would be told; unequal facts before and after make the entry."""

ROUTER_INTERFACE: Final = "network:router_interface"
ROUTER_GATEWAY: Final = "network:router_gateway"
FLOATING_IP: Final = "network:floatingip"
ROUTER_PORTS: Final = frozenset({ROUTER_INTERFACE, ROUTER_GATEWAY})
LOCAL_IP: Final = "network:local_ip"
WAY_OUT: Final = "way_out"
UNPLUGGED: Final = ROUTER_PORTS | {FLOATING_IP, LOCAL_IP}
"""Owners of ports that no interface is ever plugged into: such a port is neither a host's port nor a peer."""


_OWNERS_OF_THE_CLOUD: Final = ("network:", "neutron:")
"""How the device owners of infrastructure begin."""


def of_the_cloud(device_owner: str) -> bool:
    """Whether the text is one of infrastructure: a router's leg, DHCP. Who wrote it is in `Port.infrastructure`."""
    return device_owner.startswith(_OWNERS_OF_THE_CLOUD)


def touches(before: msgspec.Struct | None, after: msgspec.Struct | None) -> set[Touch]:
    """The log entries for a thing that was `before` (None: created) and is `after` (None: deleted) now.

    Things that no follower of the log cares for (users, tokens) touch nothing.
    """
    thing = before if after is None else after
    if thing is None or before == after or type(thing) not in _FACTS:
        return set()
    kind, facts = _FACTS[type(thing)]
    old = facts(before) if before is not None else {}
    new = facts(after) if after is not None else {}
    identity = identity_of(thing)
    told_of = {touch for touch in old | new if old.get(touch) != new.get(touch)}
    return {(kind, identity, "")} | told_of | _parted(before, after)


def identity_of(thing: msgspec.Struct) -> str:
    """What the log calls it."""
    match thing:
        case things.Host():
            return thing.name
        case things.Subport():
            return thing.port_id
        case RoleAssignment():
            return f"{thing.user_id}/{thing.project_id}/{thing.role_id}"
    return str(thing.id)  # type: ignore[attr-defined]


def _network(network: things.Network) -> Facts:
    told = _values(network, "network_type segment physnet mtu external admin_state_up qos_policy_id dns_domain")
    facts: Facts = {("network", network.id, f"network:{network.id}"): told}
    if network.external and network.physnet:
        facts["external_network", network.id, f"physnet:{network.physnet}"] = True
    return facts


def _subnet(subnet: things.Subnet) -> Facts:
    told = _values(subnet, "cidr gateway_ip enable_dhcp dns_nameservers host_routes ipv6_ra_mode ipv6_address_mode")
    return {("subnet", subnet.id, f"network:{subnet.network_id}"): told}


def _port(port: things.Port) -> Facts:
    if port.device_owner in ROUTER_PORTS:
        there = "router" if port.device_owner == ROUTER_INTERFACE else WAY_OUT
        leg = (port.id, port.mac_address, port.fixed_ips)
        of_router, of_network = ("router", f"router:{port.device_id}"), (there, f"network:{port.network_id}")
        facts: Facts = {(kind, port.device_id, scope): leg for kind, scope in (of_router, of_network)}
        if port.device_owner == ROUTER_INTERFACE:
            facts["leg", port.id, f"peers:{port.network_id}"] = leg
        return facts
    addresses = (port.mac_address, port.fixed_ips, port.allowed_address_pairs)
    facts = {("member", f"{group}/{port.id}", f"members:{group}"): addresses[1:] for group in port.security_groups}
    if port.binding_host and port.device_owner not in UNPLUGGED:
        others = _values(port, "name admin_state_up security_groups port_security qos_policy_id extra_dhcp_opts")
        others = (*others, port.dns_name, port.device_id, port.project_id, port.infrastructure)
        facts["port", port.id, f"host:{port.binding_host}"] = (*addresses, *others)
        facts["peer", port.id, f"peers:{port.network_id}"] = (*addresses, port.binding_host, port.dns_name)
    return facts


def _port_binding(binding: things.PortBinding) -> Facts:
    """That the port isn't active there yet, or any more; what the host is told of it is the port's."""
    return {("port", binding.port_id, f"host:{binding.host}"): True}


def _parted(before: msgspec.Struct | None, after: msgspec.Struct | None) -> set[Touch]:
    """A host holds what its ports lead to. One that only came, or leads to more, leaves nothing to look for."""
    if isinstance(before, things.PortBinding) and after is None:
        return {("parted", before.port_id, f"host:{before.host}")}
    if not isinstance(before, things.Port):
        return set()
    now = _leads(after) if isinstance(after, things.Port) else set()
    return {("parted", before.id, f"host:{before.binding_host}")} if _leads(before) - now else set()


def _leads(port: things.Port) -> set[tuple[str, str, str | None]]:
    if not port.binding_host or port.device_owner in UNPLUGGED:
        return set()
    groups = port.security_groups if port.port_security else ()
    leads = {("network", port.network_id), ("qos", port.qos_policy_id), ("project", port.project_id)}
    leads |= {("group", group) for group in groups}
    return {(port.binding_host, kind, id_) for kind, id_ in leads}


def _security_group(group: things.SecurityGroup) -> Facts:
    return {("group", group.id, f"group:{group.id}"): group.stateful}


def _security_group_rule(rule: things.SecurityGroupRule) -> Facts:
    scope = f"group:{rule.security_group_id}"
    told = _values(rule, "id direction ethertype protocol port_range_min port_range_max remote_ip_prefix")
    remote = rule.remote_group_id or rule.remote_address_group_id
    facts: Facts = {("group", rule.security_group_id, scope): (*told, remote)}
    if remote:
        facts["remote_group", remote, scope] = rule.id
    return facts


def _address_group(group: things.AddressGroup) -> Facts:
    """To a host it is a remote group with one member, itself."""
    return {("member", f"{group.id}/{group.id}", f"members:{group.id}"): group.addresses}


def _router(router: things.Router) -> Facts:
    told = _values(
        router,
        "admin_state_up gateway_network_id gateway_port_id routes enable_snat gateway_qos_policy_id enable_ndp_proxy",
    )
    return {("router", router.id, f"router:{router.id}"): told}


def _floating_ip(floating_ip: things.FloatingIp) -> Facts:
    if floating_ip.port_id is None:
        # Only port forwardings give it a router then, and each change of one of them another revision.
        router_id, told = floating_ip.router_id, _values(floating_ip, "floating_ip_address revision_number")
        return {("router", router_id, f"router:{router_id}"): (floating_ip.id, told)} if router_id else {}
    told = _values(
        floating_ip, "floating_network_id floating_ip_address floating_port_id fixed_ip_address router_id qos_policy_id"
    )
    return {("floating_ip", floating_ip.id, f"port:{floating_ip.holder_id or floating_ip.port_id}"): told}


def _local_ip_association(one: things.LocalIpAssociation) -> Facts:
    port_id = one.fixed_port_id
    return {("local_ip", port_id, f"port:{port_id}"): (one.local_ip_id, one.fixed_ip)}


def _ndp_proxy(proxy: things.NdpProxy) -> Facts:
    return {("router", proxy.router_id, f"router:{proxy.router_id}"): (proxy.id, proxy.ip_address)}


def _restriction(restriction: things.Restriction) -> Facts:
    """Who made it, why, and how it ended is told to no host, but for the reason, which `suimon why` says there."""
    if restriction.state != "active":
        return {}
    scopes = {
        "port": f"port:{restriction.target}",
        "network": f"network:{restriction.target}",
        "outside_address": EVERY_HOST,
    }
    scope = scopes.get(restriction.target_kind, f"project:{restriction.project_id}")
    return {("restriction", restriction.id, scope): msgspec.structs.replace(restriction, revision_number=0)}


def _host(host: things.Host) -> Facts:
    known = (host.tunnel_ip, host.drained, host.silent)
    return {("gateways", physnet, f"physnet:{physnet}"): known for physnet in host.physnets}


def _qos_policy(policy: things.QosPolicy) -> Facts:
    return {("qos", policy.id, f"qos:{policy.id}"): True}


def _qos_rule(
    rule: things.BandwidthLimitRule | things.PacketRateLimitRule | things.DscpMarkingRule | things.PortBlockRule,
) -> Facts:
    told = msgspec.structs.replace(rule, revision_number=0, updated_at=rule.created_at)
    return {("qos", rule.policy_id, f"qos:{rule.policy_id}"): told}


def _rbac_policy(policy: things.RbacPolicy) -> Facts:
    """Whether everybody sees an object is shown with the object."""
    shows = policy.action == "access_as_shared" and policy.target_project == "*"
    return {(_KINDS_SHARED.get(policy.object_type, policy.object_type), policy.object_id, ""): True} if shows else {}


def _of_no_host(_thing: msgspec.Struct) -> Facts:
    """It concerns only those who follow the resources themselves."""
    return {}


def _values(thing: msgspec.Struct, names: str) -> tuple[object, ...]:
    return tuple(getattr(thing, name) for name in names.split())


_FACTS: Final[dict[type[msgspec.Struct], tuple[str, Callable[..., Facts]]]] = {
    things.Network: ("network", _network),
    things.Subnet: ("subnet", _subnet),
    things.Port: ("port", _port),
    things.PortBinding: ("port_binding", _port_binding),
    things.SecurityGroup: ("group", _security_group),
    things.SecurityGroupRule: ("group_rule", _security_group_rule),
    things.AddressGroup: ("address_group", _address_group),
    things.Router: ("router", _router),
    things.FloatingIp: ("floating_ip", _floating_ip),
    things.LocalIpAssociation: ("local_ip_association", _local_ip_association),
    things.NdpProxy: ("ndp_proxy", _ndp_proxy),
    things.QosPolicy: ("qos", _qos_policy),
    things.BandwidthLimitRule: ("bandwidth_limit_rule", _qos_rule),
    things.PacketRateLimitRule: ("packet_rate_limit_rule", _qos_rule),
    things.DscpMarkingRule: ("dscp_marking_rule", _qos_rule),
    things.PortBlockRule: ("port_block_rule", _qos_rule),
    things.Restriction: ("restriction", _restriction),
    things.Host: ("host", _host),
    things.RbacPolicy: ("rbac_policy", _rbac_policy),
    things.AddressScope: ("address_scope", _of_no_host),
    things.SubnetPool: ("subnetpool", _of_no_host),
    things.Trunk: ("trunk", _of_no_host),
    things.Subport: ("subport", _of_no_host),
    things.LocalIp: ("local_ip_address", _of_no_host),
    things.PortForwarding: ("port_forwarding", _of_no_host),
    things.ConntrackHelper: ("conntrack_helper", _of_no_host),
    things.MinimumBandwidthRule: ("minimum_bandwidth_rule", _of_no_host),
    things.MinimumPacketRateRule: ("minimum_packet_rate_rule", _of_no_host),
    things.MeteringLabel: ("metering_label", _of_no_host),
    things.MeteringLabelRule: ("metering_label_rule", _of_no_host),
    things.Log: ("log", _of_no_host),
    things.DefaultGroupRule: ("default_group_rule", _of_no_host),
    things.NetworkSegmentRange: ("network_segment_range", _of_no_host),
    things.Flavor: ("flavor", _of_no_host),
    things.ServiceProfile: ("service_profile", _of_no_host),
    Project: ("project", _of_no_host),
    User: ("user", _of_no_host),
    Role: ("role", _of_no_host),
    RoleAssignment: ("role_assignment", _of_no_host),
    Policy: ("policy", _of_no_host),
    Clause: ("clause", _of_no_host),
    Incident: ("incident", _of_no_host),
}
_KINDS_SHARED: Final = {"security_group": "group", "qos_policy": "qos"}
"""RBAC's words for objects, where the log has others."""
KIND_OF: Final[dict[type[msgspec.Struct], str]] = {type_: kind for type_, (kind, _) in _FACTS.items()} | {
    NotedFinding: "finding"
}
"""What the log calls the things of a type. Of a finding, which is seen every few seconds, its own acts tell."""
