"""The table of `test_matrix`: for each resource who sees red's things, and who may do what with them.

Written out by hand from Neutron's policies (neutron/conf/policies); nothing here asks the code that is tested.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.api.matrix_things import (
    L3_DRIVER,
    a_proxy,
    a_range,
    address_behind,
    associated,
    blue,
    bound_twice,
    elsewhere,
    flavored,
    interface,
    local_ip,
    nameless_network,
    new_group,
    new_label,
    new_network,
    new_outside,
    new_port,
    new_profile,
    new_router,
    number,
    on_agent,
    policy,
    port_behind,
    port_beside,
    reached,
    red,
    segment_of,
    subports,
)
from tests.api.personas import CANARY, Body, Ids, Line, Stage, Trial

PROJECT, ALL, ADMIN = "mrMa", "mrMoas", "a"
WRITERS, IN_CHARGE = "mMa", "Ma"
ELSEWHERE = {"o": 400}
"""Nobody but an admin or a service names another project as the owner."""
FORBIDDEN = {"*": 403}
"""An act of operators, refused before it is looked whether the thing is there."""


def body(key: str, **more: object) -> Body:
    """`{key: more}`; a value that can be called is called with (stage, ids)."""

    def made(stage: Stage, ids: Ids) -> object:
        given = {name: value(stage, ids) if callable(value) else value for name, value in more.items()}
        return {key: {name.replace("__", ":"): value for name, value in given.items()}}

    return made


def simple(path: str, key: str, by: str = "m", **more: object) -> Callable[[Stage], Ids]:
    """Makes one by POST."""

    def new(stage: Stage) -> Ids:
        made = body(key, **more)(stage, ())
        assert isinstance(made, dict)
        return (str(stage.made(path, key, made[key], by)["id"]),)

    return new


def named(key: str) -> Body:
    return body(key, name=CANARY)


def own(key: str, path: str, let: str = WRITERS, tags: bool = True, **needs: object) -> Line:
    """A project's own kind: its readers see it, `let` write."""
    return Line(
        simple(path, key, let[0], name=CANARY, **needs),
        PROJECT,
        create=Trial(let, 201, body(key, name=CANARY, project_id=red, **needs), ELSEWHERE),
        update=Trial(let, 200, named(key)),
        delete=Trial(let, 204),
        tags=let if tags else None,
    )


def operators(key: str, path: str, sees: str = ADMIN, **needs: object) -> Line:
    """A kind that only operators write; `sees` may be everybody."""
    return Line(
        simple(path, key, "a", **needs),
        sees,
        create=Trial(ADMIN, 201, body(key, **needs)),
        update=Trial(ADMIN, 200, body(key, description="x")),
        delete=Trial(ADMIN, 204),
    )


def below(
    path: str, key: str, parent: Callable[[Stage], Ids], let: str, by: str, change: Body, **needs: object
) -> Line:
    """A kind inside of a parent of red's, which is seen with the parent."""

    def new(stage: Stage) -> Ids:
        ids = parent(stage)
        made = body(key, **needs)(stage, ids)
        assert isinstance(made, dict)
        return (ids[0], str(stage.made(path.replace("{}", ids[0]), key, made[key], by)["id"]))

    return Line(
        new,
        PROJECT,
        create=Trial(let, 201, body(key, **needs), {"o": 404, "s": 404}),
        update=Trial(let, 200, change),
        delete=Trial(let, 204),
    )


def qos(key: str, change: Body, again: int = 201, **needs: object) -> Line:
    """The rules of a policy: managers write them. `again`: what a second one is told."""
    line = below(f"qos/policies/{{}}/{key}s", key, policy, IN_CHARGE, "M", change, **needs)
    other = {**needs, "direction": "ingress"} if "direction" in needs else needs
    return line._replace(create=Trial(IN_CHARGE, again, body(key, **other)))


def alias(key: str, change: dict[str, object], **needs: object) -> Line:
    """The same rules, found without their policy."""
    below_policy = qos(key, body(key, **change), **needs).new
    return Line(
        lambda stage: below_policy(stage)[1:],
        PROJECT,
        lists=False,
        update=Trial(IN_CHARGE, 200, body(f"alias_{key}", **change)),
        delete=Trial(IN_CHARGE, 204),
    )


def agent_serves(key: str, serves: Callable[[Stage, Ids], object], path: str) -> dict[str, Trial]:
    return {
        f"GET {{}}/{path}": Trial(ADMIN),
        f"POST {{}}/{path}": Trial(ADMIN, 201, lambda stage, ids: {key: serves(stage, ids)}),
        f"DELETE {{}}/{path}/{{}}": Trial(ADMIN, 204, last=serves),
    }


OF_ANOTHER_KIND = {
    # An L3 agent serves no networks, which only those hear to whom it is shown.
    "GET {}/dhcp-networks": Trial(ADMIN, 400),
    "POST {}/dhcp-networks": Trial(ADMIN, 400, lambda stage, ids: {"network_id": stage.network()}),
    "DELETE {}/dhcp-networks/{}": Trial(ADMIN, 400, last=new_router),
}
RULE = {"security_group_id": new_group, "direction": "ingress", "description": CANARY}
TABLE: dict[str, Line] = {
    "networks": Line(
        simple("networks", "network", name=CANARY),
        "mrMas",
        create=Trial(WRITERS, 201, body("network", name=CANARY, project_id=red), ELSEWHERE),
        update=Trial(WRITERS, 200, named("network")),
        delete=Trial(WRITERS, 204),
        tags=WRITERS,
        more={"GET {}/dhcp-agents": Trial(ADMIN)},
    ),
    "subnets": Line(
        lambda stage: (stage.subnet(stage.network()),),
        "mrMas",
        create=Trial(WRITERS, 201, lambda stage, ids: {"subnet": stage.a_subnet(stage.network())}, {"o": 404}),
        update=Trial(WRITERS, 200, named("subnet")),
        delete=Trial(WRITERS, 204),
        tags=WRITERS,
    ),
    "subnetpools": own("subnetpool", "subnetpools", prefixes=["10.0.0.0/8"])._replace(
        more={
            "PUT {}/add_prefixes": Trial(WRITERS, 200, lambda stage, ids: {"prefixes": ["192.168.0.0/16"]}),
            "PUT {}/remove_prefixes": Trial(WRITERS, 200, lambda stage, ids: {"prefixes": ["10.0.0.0/16"]}),
            "PUT {}/onboard_network_subnets": Trial(WRITERS, 200, lambda stage, ids: {"network_id": stage.network()}),
        }
    ),
    "address-scopes": own("address_scope", "address-scopes", tags=False, ip_version=4),
    "address-groups": own("address_group", "address-groups", tags=False, addresses=["192.0.2.1/32"])._replace(
        more={
            "PUT {}/add_addresses": Trial(WRITERS, 200, lambda stage, ids: {"addresses": ["192.0.2.2/32"]}),
            "PUT {}/remove_addresses": Trial(WRITERS, 200, lambda stage, ids: {"addresses": ["192.0.2.1/32"]}),
        }
    ),
    "rbac-policies": Line(
        simple(
            "rbac-policies",
            "rbac_policy",
            object_type="network",
            object_id=nameless_network,
            action="access_as_shared",
            target_tenant=blue,
        ),
        PROJECT,
        create=Trial(
            WRITERS,
            201,
            body(
                "rbac_policy",
                object_type="network",
                object_id=nameless_network,
                action="access_as_shared",
                target_tenant=blue,
            ),
            {"o": 404},
        ),
        update=Trial(WRITERS, 200, body("rbac_policy", target_tenant=elsewhere)),
        delete=Trial(WRITERS, 204),
    ),
    "auto-allocated-topology": Line(
        lambda stage: (stage.red,),
        PROJECT,
        lists=False,
        shows=False,
        more={
            # There is nothing to make one of, which only those hear who may ask.
            "GET {}": Trial(PROJECT, 409, refused=FORBIDDEN),
            "DELETE {}": Trial(WRITERS, 204, refused=FORBIDDEN),
        },
    ),
    "ports": Line(
        lambda stage: (stage.port(),),
        "mrMas",
        create=Trial("mMas", 201, body("port", network_id=new_network, name=CANARY, project_id=red), ELSEWHERE),
        update=Trial("mMas", 200, named("port")),
        delete=Trial("mMas", 204),
        tags=WRITERS,
    ),
    "ports/{}/bindings": Line(
        bound_twice,
        "as",
        create=Trial("s", 201, lambda stage, ids: {"binding": {"host": stage.host()}}, {"o": 404}),
        update=Trial("s", 200, body("binding", profile={}), {"o": 404, "*": 403}),
        delete=Trial("s", 204, refused={"o": 404, "*": 403}),
        shows=False,
        more={
            "GET {}": Trial("as", 200, refused={"o": 404, "*": 403}),
            "PUT {}/activate": Trial("s", 200, refused={"o": 404, "*": 403}),
        },
    ),
    "trunks": own("trunk", "trunks", port_id=new_port)._replace(
        more={
            "GET {}/get_subports": Trial(PROJECT),
            "PUT {}/add_subports": Trial(WRITERS, 200, subports),
            "PUT {}/remove_subports": Trial(WRITERS, 200, lambda stage, ids: {"sub_ports": []}),
        }
    ),
    "security-groups": own("security_group", "security-groups"),
    "security-group-rules": Line(
        simple("security-group-rules", "security_group_rule", **RULE),
        PROJECT,
        create=Trial(WRITERS, 201, body("security_group_rule", **RULE), {"o": 404, "s": 404}),
        delete=Trial(WRITERS, 204),
    ),
    "default-security-group-rules": operators(
        "default_security_group_rule",
        "default-security-group-rules",
        ALL,
        direction="ingress",
        protocol="tcp",
        port_range_min=number,
        port_range_max=65000,
        used_in_default_sg=True,
        used_in_non_default_sg=True,
    )._replace(update=None),
    "log/logs": Line(
        simple("log/logs", "log", "M", name=CANARY, resource_type="security_group"),
        IN_CHARGE,
        create=Trial(
            IN_CHARGE, 201, body("log", name=CANARY, resource_type="security_group", project_id=red), ELSEWHERE
        ),
        update=Trial(IN_CHARGE, 200, named("log")),
        delete=Trial(IN_CHARGE, 204),
    ),
    "log/loggable-resources": Line(lambda stage: ("security_group",), "Ma", shows=False),
    "routers": own("router", "routers")._replace(
        more={
            "PUT {}/add_router_interface": Trial(
                WRITERS, 200, lambda stage, ids: {"subnet_id": stage.subnet(stage.network())}
            ),
            "PUT {}/remove_router_interface": Trial(WRITERS, 200, interface),
            "PUT {}/add_extraroutes": Trial(WRITERS, 200, body("router", routes=[])),
            "PUT {}/remove_extraroutes": Trial(WRITERS, 200, body("router", routes=[])),
            "GET {}/l3-agents": Trial(ADMIN),
        }
    ),
    "routers/{}/conntrack_helpers": below(
        "routers/{}/conntrack_helpers",
        "conntrack_helper",
        simple("routers", "router", name=CANARY),
        WRITERS,
        "m",
        body("conntrack_helper", port=number),
        protocol="udp",
        port=number,
        helper="tftp",
    ),
    "floatingips": Line(
        simple("floatingips", "floatingip", floating_network_id=new_outside, description=CANARY),
        PROJECT,
        create=Trial(WRITERS, 201, body("floatingip", floating_network_id=new_outside, project_id=red), ELSEWHERE),
        update=Trial(WRITERS, 200, body("floatingip", description=CANARY)),
        delete=Trial(WRITERS, 204),
        tags=WRITERS,
    ),
    "floatingips/{}/port_forwardings": below(
        "floatingips/{}/port_forwardings",
        "port_forwarding",
        reached,
        WRITERS,
        "m",
        body("port_forwarding", description=CANARY),
        protocol="tcp",
        external_port=number,
        internal_port=number,
        internal_port_id=port_behind,
        internal_ip_address=address_behind,
    ),
    "floatingip-pools": Line(lambda stage: (stage.outside(),), ALL, shows=False),
    "ndp_proxies": Line(
        lambda stage: (str(stage.made("ndp_proxies", "ndp_proxy", a_proxy(stage)["ndp_proxy"])["id"]),),  # type: ignore[arg-type]
        PROJECT,
        create=Trial(WRITERS, 201, a_proxy, {"o": 404}),
        update=Trial(WRITERS, 200, named("ndp_proxy")),
        delete=Trial(WRITERS, 204),
    ),
    "local_ips": Line(
        local_ip,
        PROJECT,
        create=Trial(
            WRITERS,
            201,
            lambda stage, ids: {"local_ip": {"network_id": stage.behind[ids[0]], "project_id": stage.red}},
            ELSEWHERE,
        ),
        update=Trial(WRITERS, 200, named("local_ip")),
        delete=Trial(WRITERS, 204),
    ),
    "local_ips/{}/port_associations": Line(
        associated,
        PROJECT,
        create=Trial(WRITERS, 201, body("port_association", fixed_port_id=port_beside), {"o": 404, "s": 404}),
        delete=Trial(WRITERS, 204),
    ),
    "flavors": operators("flavor", "flavors", ALL, service_type="L3_ROUTER_NAT")._replace(
        new=lambda stage: flavored(stage)[:1], more={"GET {}/next_providers": Trial(ALL)}
    ),
    "flavors/{}/service_profiles": Line(
        flavored,
        ALL,
        create=Trial(ADMIN, 201, body("service_profile", id=new_profile)),
        delete=Trial(ADMIN, 204),
    ),
    "service_profiles": operators("service_profile", "service_profiles", driver=L3_DRIVER),
    "metering/metering-labels": own("metering_label", "metering/metering-labels", IN_CHARGE, tags=False)._replace(
        update=None
    ),
    "metering/metering-label-rules": Line(
        simple(
            "metering/metering-label-rules",
            "metering_label_rule",
            "M",
            metering_label_id=new_label,
            remote_ip_prefix="192.0.2.0/24",
            direction="ingress",
        ),
        PROJECT,
        create=Trial(
            IN_CHARGE,
            201,
            body(
                "metering_label_rule",
                metering_label_id=new_label,
                remote_ip_prefix="192.0.2.0/24",
                direction="ingress",
            ),
            {"o": 404, "s": 404},
        ),
        delete=Trial(IN_CHARGE, 204),
    ),
    "network_segment_ranges": Line(
        lambda stage: (str(stage.made("network_segment_ranges", "network_segment_range", a_range(stage), "a")["id"]),),
        ADMIN,
        create=Trial(ADMIN, 201, lambda stage, ids: {"network_segment_range": a_range(stage)}),
        update=Trial(ADMIN, 200, named("network_segment_range")),
        delete=Trial(ADMIN, 204),
        tags=ADMIN,
    ),
    # A network has one segment, which comes and goes with it: only those who may try are told so.
    "segments": Line(
        lambda stage: (segment_of(stage, stage.network()),),
        ADMIN,
        create=Trial(ADMIN, 409, body("segment", network_id=new_network, network_type="vxlan")),
        update=Trial(ADMIN, 200, body("segment", description="x")),
        delete=Trial(ADMIN, 409),
    ),
    "service-providers": Line(lambda stage: ("suimon",), ALL, shows=False),
    "availability_zones": Line(lambda stage: ("nova",), ALL, shows=False),
    "network-ip-availabilities": Line(lambda stage: (stage.network(),), "as"),
    "agents": Line(
        on_agent("L3 agent"),
        ADMIN,
        update=Trial(ADMIN, 200, body("agent", description="x")),
        # A hypervisor's agents go with it.
        delete=Trial(ADMIN, 409),
        more={**agent_serves("router_id", new_router, "l3-routers"), **OF_ANOTHER_KIND},
    ),
    "qos/policies": own("policy", "qos/policies", IN_CHARGE),
    "qos/policies/{}/bandwidth_limit_rules": qos(
        "bandwidth_limit_rule", body("bandwidth_limit_rule", max_kbps=5), max_kbps=1, direction="egress"
    ),
    "qos/policies/{}/packet_rate_limit_rules": qos(
        "packet_rate_limit_rule", body("packet_rate_limit_rule", max_kpps=5), max_kpps=1, direction="egress"
    ),
    "qos/policies/{}/dscp_marking_rules": qos(
        "dscp_marking_rule", body("dscp_marking_rule", dscp_mark=12), 409, dscp_mark=10
    ),
    "qos/policies/{}/minimum_bandwidth_rules": qos(
        "minimum_bandwidth_rule", body("minimum_bandwidth_rule", min_kbps=5), min_kbps=1, direction="egress"
    ),
    "qos/policies/{}/minimum_packet_rate_rules": qos(
        "minimum_packet_rate_rule", body("minimum_packet_rate_rule", min_kpps=5), min_kpps=1, direction="egress"
    ),
    # What operators block a tenant doesn't open.
    "qos/policies/{}/port_block_rules": below(
        "qos/policies/{}/port_block_rules",
        "port_block_rule",
        policy,
        ADMIN,
        "a",
        body("port_block_rule", port_range_min=26),
        protocol="tcp",
        port_range_min=number,
    )._replace(create=Trial(ADMIN, 201, body("port_block_rule", protocol="tcp", port_range_min=number))),
    "qos/rule-types": Line(
        lambda stage: ("bandwidth_limit",), ALL, shows=False, more={"GET {}": Trial(ADMIN, refused=FORBIDDEN)}
    ),
    "qos/alias-bandwidth-limit-rules": alias("bandwidth_limit_rule", {"max_kbps": 5}, max_kbps=1, direction="egress"),
    "qos/alias-dscp-marking-rules": alias("dscp_marking_rule", {"dscp_mark": 12}, dscp_mark=10),
    "qos/alias-minimum-bandwidth-rules": alias(
        "minimum_bandwidth_rule", {"min_kbps": 5}, min_kbps=1, direction="egress"
    ),
    "qos/alias-minimum-packet-rate-rules": alias(
        "minimum_packet_rate_rule", {"min_kpps": 5}, min_kpps=1, direction="egress"
    ),
    "quotas": Line(
        lambda stage: stage.unlimited(),
        PROJECT,
        lists=False,
        shows=False,
        more={
            "GET": Trial(ADMIN, refused=FORBIDDEN),
            "GET project": Trial(ALL),
            "GET tenant": Trial(ALL),
            "GET {}": Trial(PROJECT, refused=FORBIDDEN),
            "GET {}/default": Trial(PROJECT, refused=FORBIDDEN),
            "GET {}/details": Trial(PROJECT, refused=FORBIDDEN),
            "PUT {}": Trial(ADMIN, 200, body("quota", port=-1), FORBIDDEN),
            "DELETE {}": Trial(ADMIN, 204, refused=FORBIDDEN),
        },
    ),
    "policies": Line(policy, PROJECT, lists=False, shows=False, tags=IN_CHARGE),
}
TABLE["network-segment-ranges"] = TABLE["network_segment_ranges"]
"""The same under the name that Neutron's own tests use."""
TABLE |= {path.replace("-", "_"): line for path, line in TABLE.items() if path.startswith("qos/alias-")}
"""Both ways of writing them."""
