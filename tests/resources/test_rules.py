"""Every rule and whom it lets: one table, written out, which says the same as Neutron's personas.

The things asked about are project red's, on a network of project green. The letters are who is let:

    a  an admin elsewhere                       N n  green's manager and member
    s  a service elsewhere                      o    blue's manager
    M m r  red's manager, member and reader     d    whoever integrates a data plane

A role comes with those that it implies, as in a token. Whether the acts ask their rules is tested with the acts.
"""

import pytest

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.resources.persona import RULES, sees_all

PEOPLE = {
    "a": Actor("a", "operators", frozenset({"admin", "manager", "member", "reader"})),
    "s": Actor("s", "services", frozenset({"service"})),
    "M": Actor("M", "red", frozenset({"manager", "member", "reader"})),
    "m": Actor("m", "red", frozenset({"member", "reader"})),
    "r": Actor("r", "red", frozenset({"reader"})),
    "N": Actor("N", "green", frozenset({"manager", "member", "reader"})),
    "n": Actor("n", "green", frozenset({"member", "reader"})),
    "o": Actor("o", "blue", frozenset({"manager", "member", "reader"})),
    "d": Actor("d", "operators", frozenset({"data_plane_integrator"})),
}
NOBODYS = Target("", "")
"""Whoever has no project of his own must not be taken for its owner."""
HOMELESS = Actor("h", "", frozenset({"manager", "member", "reader"}))

WHO: dict[str, str] = {
    "aMm": """
        create_network update_network delete_network create_subnetpool update_subnetpool
        delete_subnetpool add_prefixes remove_prefixes onboard_network_subnets create_address_scope
        update_address_scope delete_address_scope create_address_group update_address_group delete_address_group
        add_addresses remove_addresses create_rbac_policy update_rbac_policy delete_rbac_policy
        delete_auto_allocated_topology create_trunk update_trunk delete_trunk add_subports remove_subports
        create_security_group update_security_group delete_security_group create_security_group_rule
        delete_security_group_rule create_router update_router delete_router add_router_interface
        remove_router_interface add_extraroutes remove_extraroutes create_router_conntrack_helper
        update_router_conntrack_helper delete_router_conntrack_helper create_floatingip update_floatingip
        delete_floatingip create_floatingip_port_forwarding update_floatingip_port_forwarding
        delete_floatingip_port_forwarding create_ndp_proxy update_ndp_proxy delete_ndp_proxy create_local_ip
        update_local_ip delete_local_ip create_local_ip_port_association delete_local_ip_port_association
        create_network:tags update_network:tags delete_network:tags create_port:tags update_port:tags
        create_router:tags update_router:tags delete_router:tags create_floatingip:tags update_floatingip:tags
        delete_floatingip:tags create_security_group:tags update_security_group:tags delete_security_group:tags
        create_subnetpool:tags update_subnetpool:tags delete_subnetpool:tags create_trunk:tags update_trunk:tags
        delete_trunk:tags
    """,
    "a": """
        change_operators_tags create_restriction release_restriction get_restriction:finding_id get_restriction:evidence
        get_restriction:author get_restriction:author_kind get_restriction:released_by get_restriction:release_reason
        create_network:shared create_network:router:external create_network:is_default
        create_network:provider:network_type create_network:provider:physical_network
        create_network:provider:segmentation_id get_network:provider:network_type
        get_network:provider:physical_network get_network:provider:segmentation_id update_network:shared
        update_network:router:external update_network:is_default update_network:provider:network_type
        update_network:provider:physical_network update_network:provider:segmentation_id create_subnet:segment_id
        update_subnet:segment_id get_subnet:segment_id
        create_subnetpool:shared create_subnetpool:is_default update_subnetpool:is_default
        create_address_scope:shared update_address_scope:shared create_port:hints create_port:trusted get_port:hints
        get_port:trusted get_port:resource_request update_port:hints update_port:trusted
        create_router:external_gateway_info:enable_snat create_router:external_gateway_info:external_fixed_ips
        update_router:external_gateway_info:enable_snat update_router:external_gateway_info:external_fixed_ips
        create_router:distributed create_router:ha get_router:distributed get_router:ha update_router:distributed
        update_router:ha create_flavor update_flavor delete_flavor create_service_profile update_service_profile
        delete_service_profile
        create_flavor_service_profile delete_flavor_service_profile create_policy_port_block_rule
        update_policy_port_block_rule delete_policy_port_block_rule create_default_security_group_rule
        delete_default_security_group_rule get_network_segment_range create_network_segment_range
        update_network_segment_range delete_network_segment_range get_segment create_segment update_segment
        delete_segment get_agent update_agent delete_agent get_l3-routers create_l3-router delete_l3-router
        get_l3-agents get_dhcp-networks create_dhcp-network delete_dhcp-network get_dhcp-agents
        create_network_segment_range:tags update_network_segment_range:tags delete_network_segment_range:tags
        update_quota delete_quota
    """,
    "aNn": """
        create_subnet
    """,
    "aMmNn": """
        update_subnet delete_subnet create_subnet:tags update_subnet:tags delete_subnet:tags delete_port:tags
    """,
    "aMmr": """
        get_auto_allocated_topology
    """,
    "asMm": """
        create_port update_port
    """,
    "asNn": """
        create_port:device_owner:network create_port:mac_address create_port:fixed_ips:ip_address
        create_port:port_security_enabled create_port:allowed_address_pairs update_port:device_owner:network
        update_port:fixed_ips:ip_address update_port:port_security_enabled update_port:allowed_address_pairs
    """,
    "as": """
        create_port:binding:host_id get_port:binding:host_id get_port:binding:profile get_port:binding:vif_type
        get_port:binding:vif_details update_port:binding:host_id get_port_binding get_network_ip_availability
    """,
    "s": """
        create_port:binding:profile update_port:binding:profile create_port_binding update_port_binding
        delete_port_binding activate
    """,
    "asN": """
        update_port:mac_address
    """,
    "asMmNn": """
        delete_port
    """,
    "ad": """
        update_port:data_plane_status
    """,
    "aM": """
        create_floatingip:floating_ip_address create_policy update_policy delete_policy
        create_policy_bandwidth_limit_rule update_policy_bandwidth_limit_rule delete_policy_bandwidth_limit_rule
        create_policy_packet_rate_limit_rule update_policy_packet_rate_limit_rule
        delete_policy_packet_rate_limit_rule create_policy_dscp_marking_rule update_policy_dscp_marking_rule
        delete_policy_dscp_marking_rule create_policy_minimum_bandwidth_rule update_policy_minimum_bandwidth_rule
        delete_policy_minimum_bandwidth_rule create_policy_minimum_packet_rate_rule
        update_policy_minimum_packet_rate_rule delete_policy_minimum_packet_rate_rule get_loggable_resource get_log
        create_log update_log delete_log create_metering_label delete_metering_label create_metering_label_rule
        delete_metering_label_rule create_policy:tags update_policy:tags delete_policy:tags get_quota
    """,
}
TARGETS = ("target_tenant", "target_project")
RULE_LETTERS = {name: letters for letters, names in WHO.items() for name in names.split()}
FOR_SOME_PROJECTS = {f"{act}_rbac_policy:{field}" for act in ("create", "update") for field in TARGETS}


def let(name: str, target: Target) -> str:
    return "".join(letter for letter, actor in PEOPLE.items() if RULES[name](actor, target))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_lets_whom_the_table_says_and_nobody_else(name: str) -> None:
    assert name in RULE_LETTERS or name in FOR_SOME_PROJECTS, "a new rule needs its line in WHO"
    if name in RULE_LETTERS:
        assert let(name, Target("red", "green")) == RULE_LETTERS[name]
        assert not RULES[name](HOMELESS, NOBODYS)


def test_the_table_has_no_rules_of_yesterday() -> None:
    assert set(RULE_LETTERS) | FOR_SOME_PROJECTS == set(RULES)
    assert sum(len(names.split()) for names in WHO.values()) == len(RULE_LETTERS)


@pytest.mark.parametrize("name", sorted(FOR_SOME_PROJECTS))
def test_only_admins_share_with_everybody(name: str) -> None:
    for field in TARGETS:
        assert let(name, Target("red", values={field: "*"})) == "a"
        assert let(name, Target("red", values={field: "blue"})) == "".join(PEOPLE)


@pytest.mark.parametrize("owner", ["compute:nova", "baremetal:none", "manila:share"])
def test_a_servers_port_is_deleted_by_a_service_or_for_one(owner: str) -> None:
    target = Target("red", "green", {"device_owner": owner})
    assert let("delete_port", target) == "as"
    for letter in ("M", "m", "N", "n"):
        person = PEOPLE[letter]
        passed_on = Actor(person.user_id, person.project_id, person.roles, service_roles=frozenset({"service"}))
        assert RULES["delete_port"](passed_on, target)
    for letter in ("r", "o"):
        person = PEOPLE[letter]
        passed_on = Actor(person.user_id, person.project_id, person.roles, service_roles=frozenset({"service"}))
        assert not RULES["delete_port"](passed_on, target)


@pytest.mark.parametrize("kind, letters", [("network", "as"), ("subnet", "as"), ("port", "as"), ("router", "a")])
def test_who_sees_every_projects_things(kind: str, letters: str) -> None:
    assert "".join(letter for letter, actor in PEOPLE.items() if sees_all(actor, kind)) == letters


@pytest.mark.parametrize("role", ["reader", "member", "manager", "admin"])
def test_one_who_is_no_reader_sees_nothing_of_his_project(role: str) -> None:
    assert Actor("x", "red", frozenset({role})).viewer == "red"
    assert Actor("x", "red", frozenset({"service", "auditor"})).viewer != "red"
