"""What the requests of the matrix are made of: things of red's, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

from tests.api.personas import CANARY, Ids, Stage

L3_DRIVER = "neutron.services.l3_router.service_providers.single_node.SingleNodeDriver"


def red(stage: Stage, _ids: Ids) -> object:
    return stage.red


def blue(stage: Stage, _ids: Ids) -> object:
    return stage.blue


def elsewhere(stage: Stage, _ids: Ids) -> object:
    return stage.services


def new_network(stage: Stage, _ids: Ids = ()) -> str:
    return stage.network()


def nameless_network(stage: Stage, _ids: Ids = ()) -> str:
    """One that may be shared: its name tells nothing."""
    return stage.network(name="")


def new_port(stage: Stage, _ids: Ids = ()) -> str:
    return stage.port()


def new_group(stage: Stage, _ids: Ids = ()) -> str:
    return str(stage.made("security-groups", "security_group", {"name": CANARY})["id"])


def new_outside(stage: Stage, _ids: Ids = ()) -> str:
    return stage.outside()


def new_label(stage: Stage, _ids: Ids = ()) -> str:
    return str(stage.made("metering/metering-labels", "metering_label", {"name": CANARY}, "M")["id"])


def interface(stage: Stage, ids: Ids) -> object:
    """A subnet that the router is on."""
    subnet = stage.subnet(stage.network())
    told = stage.do("m", "PUT", f"routers/{ids[0]}/add_router_interface", {"subnet_id": subnet})
    return {"subnet_id": subnet} if told.status == 200 else {"subnet_id": ids[0]}


def subports(stage: Stage, _ids: Ids) -> object:
    return {"sub_ports": [{"port_id": stage.port(), "segmentation_type": "vlan", "segmentation_id": 5}]}


def reached(stage: Stage) -> Ids:
    """A floating IP, and behind it a port that it can be forwarded to."""
    outside, _, port = stage.routed()
    made = str(stage.made("floatingips", "floatingip", {"floating_network_id": outside})["id"])
    stage.behind[made] = port
    return (made,)


def port_behind(stage: Stage, ids: Ids) -> object:
    return stage.behind[ids[0]]


def address_behind(stage: Stage, ids: Ids) -> object:
    return stage.address(stage.behind[ids[0]])


def number(stage: Stage, _ids: Ids) -> object:
    return 3000 + stage.number()


def local_ip(stage: Stage) -> Ids:
    network = stage.network()
    stage.subnet(network)
    made = str(stage.made("local_ips", "local_ip", {"network_id": network, "name": CANARY})["id"])
    stage.behind[made] = network
    return (made,)


def port_beside(stage: Stage, ids: Ids) -> object:
    """A new port on the local IP's network."""
    return stage.port(stage.behind[ids[0]])


def associated(stage: Stage) -> Ids:
    ids = local_ip(stage)
    port = stage.port(stage.behind[ids[0]])
    stage.made(f"local_ips/{ids[0]}/port_associations", "port_association", {"fixed_port_id": port})
    return (ids[0], port)


def flavored(stage: Stage) -> Ids:
    flavor = stage.made("flavors", "flavor", {"service_type": "L3_ROUTER_NAT"}, "a")["id"]
    profile = stage.made("service_profiles", "service_profile", {"driver": L3_DRIVER}, "a")["id"]
    stage.made(f"flavors/{flavor}/service_profiles", "service_profile", {"id": profile}, "a")
    return (str(flavor), str(profile))


def new_profile(stage: Stage, _ids: Ids) -> object:
    return stage.made("service_profiles", "service_profile", {"driver": L3_DRIVER}, "a")["id"]


def bound_twice(stage: Stage) -> Ids:
    """A port bound to one host, with an inactive binding on another."""
    network, other = stage.network(), stage.host()
    stage.subnet(network)
    port = stage.port(network)
    bound = {"port": {"device_owner": "compute:nova", "binding:host_id": stage.host()}}
    assert stage.do("s", "PUT", f"ports/{port}", bound).status == 200
    stage.made(f"ports/{port}/bindings", "binding", {"host": other}, "s")
    return (port, other)


def policy(stage: Stage) -> Ids:
    return (str(stage.made("qos/policies", "policy", {"name": CANARY}, "M")["id"]),)


def proxied(stage: Stage) -> tuple[str, str]:
    """A router that proxies, and a port of globally reachable addresses behind it."""
    number = stage.number()
    scope = {"name": "", "ip_version": 6, "shared": True}
    scope_id = stage.made("address-scopes", "address_scope", scope, "a")["id"]
    pool = {"name": "pool", "prefixes": [f"2001:db8:{number:x}::/48"], "default_prefixlen": 64, "shared": True}
    pool_id = stage.made("subnetpools", "subnetpool", pool | {"address_scope_id": scope_id}, "a")["id"]
    outside = stage.made("networks", "network", {"router:external": True}, "a")["id"]
    network = stage.network()
    subnet = {"ip_version": 6, "subnetpool_id": pool_id}
    stage.made("subnets", "subnet", {"network_id": outside, **subnet}, "a")
    inside = stage.made("subnets", "subnet", {"network_id": network, **subnet})["id"]
    router = stage.router(external_gateway_info={"network_id": outside}, enable_ndp_proxy=True)
    assert stage.do("m", "PUT", f"routers/{router}/add_router_interface", {"subnet_id": inside}).status == 200
    return router, stage.port(network)


def a_proxy(stage: Stage, _ids: Ids = ()) -> dict[str, object]:
    router, port = proxied(stage)
    return {"ndp_proxy": {"router_id": router, "port_id": port, "name": CANARY}}


def on_agent(kind: str) -> Callable[[Stage], Ids]:
    def new(stage: Stage) -> Ids:
        name = stage.host()
        found = stage.do("a", "GET", f"agents?host={name}").json["agents"]
        return (next(one["id"] for one in found if one["agent_type"] == kind),)

    return new


def a_range(stage: Stage) -> dict[str, object]:
    number = 3000 + stage.number()
    return {"name": CANARY, "network_type": "vxlan", "minimum": number, "maximum": number, "shared": True}


def segment_of(stage: Stage, network: str) -> str:
    return str(stage.do("a", "GET", f"segments?network_id={network}").json["segments"][0]["id"])


def new_router(stage: Stage, _ids: Ids) -> object:
    return stage.router()
