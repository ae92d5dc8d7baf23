"""Bodies of requests: what is taken, and Neutron's words for what is not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.model.actor import Actor
from suimon.model.attributes import UNGIVEN
from suimon.model.errors import BadRequest, CallerError
from suimon.model.specs import networks, ports, qos, routers, security_groups

ACTOR = Actor("u", "p", frozenset({"member"}))
NOBODY = "00000000-0000-4000-8000-000000000000"
SPECS = {
    spec.singular: spec
    for spec in (
        networks.NETWORK,
        networks.SUBNET,
        ports.PORT,
        security_groups.SECURITY_GROUP,
        security_groups.SECURITY_GROUP_RULE,
        routers.ROUTER,
        routers.FLOATING_IP,
        qos.QOS_POLICY,
        qos.BANDWIDTH_LIMIT_RULE,
        qos.PORT_BLOCK_RULE,
    )
}
NEEDED: dict[str, dict[str, Any]] = {
    "subnet": {"network_id": NOBODY, "ip_version": 4, "cidr": "10.0.0.0/24"},
    "port": {"network_id": NOBODY},
    "security_group_rule": {"security_group_id": NOBODY, "direction": "ingress"},
    "floatingip": {"floating_network_id": NOBODY},
    "bandwidth_limit_rule": {"max_kbps": 1},
    "port_block_rule": {"protocol": "tcp", "port_range_min": 25},
}


@pytest.mark.parametrize("kind", SPECS)
def test_the_least_body(kind: str) -> None:
    wanted = SPECS[kind].for_create(NEEDED.get(kind, {}), ACTOR)
    assert wanted["project_id"] == "p"
    assert UNGIVEN not in wanted.values()


@pytest.mark.parametrize(
    ("kind", "body", "type_", "message"),
    [
        ("network", {"nosuch": 1}, "HTTPBadRequest", "Unrecognized attribute(s) 'nosuch'"),
        ("network", {"name": 5}, "HTTPBadRequest", "Invalid input for name. Reason: '5' is not a valid string."),
        (
            "network",
            {"name": "x" * 256},
            "HTTPBadRequest",
            f"Invalid input for name. Reason: '{'x' * 256}' exceeds maximum length of 255.",
        ),
        (
            "network",
            {"admin_state_up": "maybe"},
            "InvalidInput",
            "Invalid input for operation: 'maybe' cannot be converted to boolean.",
        ),
        ("network", {"id": NOBODY}, "HTTPBadRequest", "Attribute 'id' not allowed in POST"),
        ("network", {"status": "DOWN"}, "HTTPBadRequest", "Attribute 'status' not allowed in POST"),
        ("network", {"mtu": -1}, "HTTPBadRequest", "Invalid input for mtu. Reason: '-1' should be non-negative."),
        ("network", {"mtu": "x"}, "InvalidInput", "Invalid input for operation: 'x' is not an integer."),
        ("network", {"mtu": 1 << 40}, "HTTPBadRequest", "Invalid input for mtu. Reason: '1099511627776' is too large"),
        (
            "network",
            {"qos_policy_id": "x"},
            "HTTPBadRequest",
            "Invalid input for qos_policy_id. Reason: 'x' is not a valid UUID.",
        ),
        (
            "network",
            {"project_id": "a", "tenant_id": "b"},
            "HTTPBadRequest",
            "'project_id' and 'tenant_id' do not match",
        ),
        ("subnet", {"cidr": "junk"}, "InvalidInput", "Invalid input for operation: junk is not in a CIDR format."),
        ("subnet", {"cidr": "10.0.0.0"}, "InvalidInput", "is not in a CIDR format."),
        ("subnet", {"cidr": "10.0.0.0/255.0.0.0"}, "InvalidInput", "is not in a CIDR format."),
        ("subnet", {"cidr": 7}, "InvalidInput", "is not in a CIDR format."),
        (
            "subnet",
            {"ip_version": 5},
            "HTTPBadRequest",
            "Invalid input for ip_version. Reason: 5 is not in valid_values.",
        ),
        ("subnet", {"ip_version": [4]}, "HTTPBadRequest", "is not in valid_values."),
        (
            "subnet",
            {"network_id": None},
            "HTTPBadRequest",
            "Invalid input for network_id. Reason: 'None' is not a valid UUID.",
        ),
        (
            "subnet",
            {"gateway_ip": "junk"},
            "HTTPBadRequest",
            "Invalid input for gateway_ip. Reason: 'junk' is not a valid IP address.",
        ),
        ("subnet", {"gateway_ip": "fe80::1%eth0"}, "HTTPBadRequest", "is not a valid IP address."),
        (
            "subnet",
            {"dns_nameservers": ["1.1.1.1", "1.1.1.1"]},
            "HTTPBadRequest",
            "Invalid input for dns_nameservers. Reason: Duplicate nameserver '1.1.1.1'.",
        ),
        (
            "subnet",
            {"dns_nameservers": ["1.1.1.1", "x"]},
            "HTTPBadRequest",
            "Invalid input for dns_nameservers. Reason: 'x' is not a valid nameserver. 'x' is not a valid IP address.",
        ),
        ("subnet", {"dns_nameservers": "x"}, "HTTPBadRequest", "Invalid data format for nameserver: 'x'."),
        (
            "subnet",
            {"host_routes": [{"destination": "x", "nexthop": "10.2.3.1"}]},
            "HTTPBadRequest",
            "Invalid input for host_routes. Reason: 'x' is not a valid CIDR.",
        ),
        (
            "subnet",
            {"host_routes": [{"destination": "10.0.0.1/24", "nexthop": "10.2.3.1"}]},
            "HTTPBadRequest",
            "recommended",
        ),
        ("subnet", {"host_routes": ["x"]}, "HTTPBadRequest", "Invalid data format for hostroute: 'x'."),
        ("subnet", {"host_routes": 1}, "HTTPBadRequest", "Invalid data format for hostroute: '1'."),
        (
            "subnet",
            {"host_routes": [{"destination": "10.0.0.0/24", "nexthop": "10.2.3.1"}] * 2},
            "HTTPBadRequest",
            "Duplicate hostroute",
        ),
        ("subnet", {"allocation_pools": [{"start": "10.0.0.1"}]}, "HTTPBadRequest", "Invalid data format for IP pool"),
        ("subnet", {"allocation_pools": 3}, "HTTPBadRequest", "Invalid data format for IP pool: '3'."),
        (
            "subnet",
            {"ipv6_ra_mode": "junk"},
            "HTTPBadRequest",
            "Invalid input for ipv6_ra_mode. Reason: junk is not in valid_values.",
        ),
        (
            "port",
            {"mac_address": "junk"},
            "HTTPBadRequest",
            "Invalid input for mac_address. Reason: 'junk' is not a valid MAC address.",
        ),
        ("port", {"mac_address": "ff:ff:ff:ff:ff:ff"}, "HTTPBadRequest", "is not a valid MAC address."),
        ("port", {"mac_address": "00:00:00:00:00:00"}, "HTTPBadRequest", "is not a valid MAC address."),
        (
            "port",
            {"fixed_ips": "x"},
            "HTTPBadRequest",
            "Invalid input for fixed_ips. Reason: Invalid data format for fixed IP: 'x'.",
        ),
        ("port", {"fixed_ips": ["x"]}, "HTTPBadRequest", "Invalid data format for fixed IP: 'x'."),
        (
            "port",
            {"fixed_ips": [{"junk": 1}]},
            "InvalidInput",
            "Invalid input for operation: IP allocation requires subnet_id or ip_address.",
        ),
        ("port", {"fixed_ips": [{"ip_address": "10.0.0.1"}] * 2}, "HTTPBadRequest", "Duplicate IP address '10.0.0.1'."),
        ("port", {"fixed_ips": [{"subnet_id": NOBODY}] * 6}, "InvalidInput", "Exceeded maximum amount of fixed ips"),
        (
            "port",
            {"security_groups": ["x"]},
            "HTTPBadRequest",
            "Invalid input for security_groups. Reason: 'x' is not a valid UUID.",
        ),
        ("port", {"security_groups": "x"}, "HTTPBadRequest", "'x' is not a list."),
        ("port", {"security_groups": [NOBODY] * 2}, "HTTPBadRequest", "Duplicate items in the list"),
        ("port", {"allowed_address_pairs": [{"ip_address": "x"}]}, "HTTPBadRequest", "'x' is not a valid IP address"),
        (
            "port",
            {"allowed_address_pairs": [{"mac_address": "02:00:00:00:00:01"}]},
            "AllowedAddressPairsMissingIP",
            "AllowedAddressPair must contain ip_address",
        ),
        (
            "port",
            {"allowed_address_pairs": [{"ip_address": "1.1.1.1"}] * 2},
            "DuplicateAddressPairInRequest",
            "Request contains duplicate address pair: mac_address None ip_address 1.1.1.1.",
        ),
        ("port", {"allowed_address_pairs": "x"}, "HTTPBadRequest", "Allowed address pairs must be a list."),
        ("port", {"allowed_address_pairs": ["x"]}, "HTTPBadRequest", "Invalid data format for address pair: 'x'"),
        ("port", {"allowed_address_pairs": [{"ip_address": "1.1.1.1", "a": 1}]}, "HTTPBadRequest", "Unrecognized"),
        (
            "port",
            {"allowed_address_pairs": [{"ip_address": f"1.1.1.{n}"} for n in range(11)]},
            "AddressPairsExhausted",
            "Exceeded maximum amount of address pairs 10 per port.",
        ),
        (
            "port",
            {"binding:vnic_type": "junk"},
            "HTTPBadRequest",
            "Invalid input for binding:vnic_type. Reason: junk is not in valid_values.",
        ),
        ("port", {"binding:profile": {"a": "x" * 5000}}, "InvalidInput", "binding:profile value too large."),
        ("port", {"binding:profile": []}, "HTTPBadRequest", "'[]' is not a dictionary."),
        (
            "security_group_rule",
            {"direction": "up"},
            "HTTPBadRequest",
            "Invalid input for direction. Reason: up is not in valid_values.",
        ),
        (
            "security_group_rule",
            {"ethertype": "IPv5"},
            "SecurityGroupRuleInvalidEtherType",
            "Security group rule for ethertype 'IPv5' not supported. Allowed values are ['IPv4', 'IPv6'].",
        ),
        (
            "security_group_rule",
            {"protocol": "junk"},
            "SecurityGroupRuleInvalidProtocol",
            "Security group rule protocol junk not supported. Only protocol values (None, 'any', 'ah', 'dccp', 'egp', "
            "'esp', 'gre', 'hopopt', 'icmp', 'igmp', 'ip', 'ipip', 'ipv6-encap', 'ipv6-frag', 'ipv6-icmp', 'icmpv6', "
            "'ipv6-nonxt', 'ipv6-opts', 'ipv6-route', 'ospf', 'pgm', 'rsvp', 'sctp', 'tcp', 'udp', 'udplite', 'vrrp') "
            "and integer representations [0 to 255] are supported.",
        ),
        ("security_group_rule", {"protocol": "300"}, "SecurityGroupRuleInvalidProtocol", "protocol 300 not supported."),
        ("security_group_rule", {"protocol": True}, "SecurityGroupRuleInvalidProtocol", "True"),
        (
            "security_group_rule",
            {"port_range_max": 70000},
            "SecurityGroupInvalidPortValue",
            "Invalid value for port 70000",
        ),
        ("security_group_rule", {"port_range_max": "x"}, "SecurityGroupInvalidPortValue", "Invalid value for port x"),
        (
            "security_group_rule",
            {"remote_ip_prefix": "junk"},
            "InvalidCIDR",
            "Invalid CIDR junk given as IP prefix.",
        ),
        ("router", {"routes": []}, "HTTPBadRequest", "Attribute 'routes' not allowed in POST"),
        ("router", {"external_gateway_info": "x"}, "HTTPBadRequest", "'x' is not a dictionary."),
        ("router", {"external_gateway_info": {"enable_snat": True}}, "HTTPBadRequest", "Expected keys: {'network_id'}"),
        ("router", {"external_gateway_info": {"network_id": "x"}}, "HTTPBadRequest", "'x' is not a valid UUID."),
        ("router", {"external_gateway_info": {"network_id": NOBODY, "a": 1}}, "HTTPBadRequest", "Validation of"),
        ("bandwidth_limit_rule", {"max_kbps": -1}, "HTTPBadRequest", "'-1' should be non-negative."),
        ("port_block_rule", {"port_range_min": 0}, "HTTPBadRequest", "'0' is not a port number from 1 to 65535."),
        ("port_block_rule", {"protocol": "icmp"}, "HTTPBadRequest", "icmp is not in valid_values."),
        ("port_block_rule", {"remote_ip_prefix": "x"}, "HTTPBadRequest", "'x' is not a valid CIDR."),
    ],
)
def test_bad_values(kind: str, body: dict[str, Any], type_: str, message: str) -> None:
    with pytest.raises(CallerError) as caught:
        SPECS[kind].for_create({**NEEDED.get(kind, {}), **body}, ACTOR)
    assert (caught.value.kind, message in caught.value.message) == (type_, True), caught.value.message


@pytest.mark.parametrize(
    ("kind", "missing"),
    [("subnet", "network_id"), ("port", "network_id"), ("floatingip", "floating_network_id"),
     ("bandwidth_limit_rule", "max_kbps"), ("security_group_rule", "direction")],
)  # fmt: skip
def test_missing_values(kind: str, missing: str) -> None:
    body = {name: value for name, value in NEEDED[kind].items() if name != missing}
    with pytest.raises(BadRequest) as caught:
        SPECS[kind].for_create(body, ACTOR)
    assert caught.value.message == f"Failed to parse request. Required attribute '{missing}' not specified"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("network", "tenant_id"), ("network", "project_id"), ("network", "status"), ("subnet", "cidr"),
     ("port", "network_id"), ("port", "binding:vif_type"), ("floatingip", "floating_network_id")],
)  # fmt: skip
def test_what_is_fixed(kind: str, name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        SPECS[kind].for_update({name: "x"}, ACTOR)
    assert caught.value.message == f"Cannot update read-only attribute {name}"


def test_updates_take_what_is_given() -> None:
    assert networks.NETWORK.for_update({"name": "x", "mtu": "1400"}, ACTOR) == {"name": "x", "mtu": 1400}
    with pytest.raises(BadRequest, match="Unrecognized"):
        networks.NETWORK.for_update({"nosuch": 1}, ACTOR)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"net": {}}, "Unable to find 'network' in request body"),
        (None, "Unable to find 'network' in request body"),
        ([], "Body contains invalid data"),
        ("x", "Body contains invalid data"),
        ({"network": []}, "Body contains invalid data"),
        ({"networks": []}, "Resources required"),
        ({"networks": {}}, "Resources required"),
        ({"networks": [1]}, "Body contains invalid data"),
    ],
)
def test_bad_wrappings(body: object, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        networks.NETWORK.unwrap(body)
    assert caught.value.message == message


def test_wrappings() -> None:
    assert networks.NETWORK.unwrap({"network": {"name": "a"}}) == ([{"name": "a"}], False)
    assert networks.NETWORK.unwrap({"networks": [{"name": "a"}, {"network": {}}]}) == ([{"name": "a"}, {}], True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(SPECS)), st.data())
def test_any_value_is_taken_or_refused(kind: str, data: st.DataObject) -> None:
    spec = SPECS[kind]
    names = [attribute.name for attribute in spec.attributes if attribute.post]
    body = {**NEEDED.get(kind, {}), data.draw(st.sampled_from(names)): data.draw(JSON)}
    json.dumps(body)
    try:
        spec.for_create(body, ACTOR)
    except CallerError as error:
        assert error.message
