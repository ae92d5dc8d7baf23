"""Random clouds and random changes of them, through the API; what can't be done does nothing.

Everything a change chooses follows from its seed and from what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from suimon.model.errors import CallerError
from suimon.resources import restrictions
from suimon.resources.registry import RESOURCES
from tests.oracle.cluster import HOSTS, PHYSNET, Cluster
from tests.resources.below import Below
from tests.resources.world import ADMIN, Body

Act = Callable[[Cluster, Random], object]
Steps = Sequence[tuple[str, int]]
PREFIXES: Final = ("10.0.0.0/8", "10.1.0.0/24", "10.2.0.0/28", "203.0.113.0/24", "fd00:1::/64", "fd00::/16")
L4_PORTS: Final = (22, 25, 80, 443, 5000, 8080)
_VIRTUAL_MACS: Final = ("00:00:5e:00:01:01", "00:00:5e:00:01:02")
"""As VRRP has them (RFC 5798): several ports may claim one."""


def change(cluster: Cluster, name: str, seed: int) -> bool:
    """Whether the act called `name` did anything. Hosts are not told yet."""
    try:
        ACTS[name](cluster, Random(seed))
    except (CallerError, IndexError):
        return False
    return True


def _new(cluster: Cluster, path: str, **body: Any) -> Body:
    return cluster.api.create(path, body, by=ADMIN)


def _some(cluster: Cluster, path: str) -> list[Body]:
    return sorted(cluster.api.list(path, by=ADMIN), key=lambda each: str(each["id"]))


def _one(cluster: Cluster, random: Random, path: str) -> Body:
    """Raises IndexError where there is none."""
    return random.choice(_some(cluster, path))


def _guests(cluster: Cluster) -> list[Body]:
    return [port for port in _some(cluster, "ports") if not port["device_owner"].startswith("network:")]


def _router_act(cluster: Cluster, router: Body, action: str, body: Body) -> None:
    cluster.api.act(router["id"], action, body, by=ADMIN)


def _network(cluster: Cluster, random: Random) -> None:
    number = len(_some(cluster, "networks")) + 1
    vlan = {"provider:network_type": "vlan", "provider:physical_network": PHYSNET}
    kinds: list[Body] = [{}, {}, {"provider:network_type": "geneve"}, {"provider:network_type": "gre"}, vlan, vlan]
    network = _new(cluster, "networks", **random.choice(kinds))
    if random.random() < 0.9:
        cidr, told = f"10.{number}.0.0/24", random.random() < 0.7
        _new(cluster, "subnets", network_id=network["id"], ip_version=4, cidr=cidr, enable_dhcp=told)
    if random.random() < 0.5:
        modes = random.choice(
            [{}, *({"ipv6_ra_mode": m, "ipv6_address_mode": m} for m in ("slaac", "dhcpv6-stateful"))]
        )
        _new(cluster, "subnets", network_id=network["id"], ip_version=6, cidr=f"fd00:{number}::/64", **modes)


def _external(cluster: Cluster, random: Random) -> None:
    number = sum(network["router:external"] for network in _some(cluster, "networks"))
    vlan = {"provider:network_type": "vlan", "provider:physical_network": PHYSNET, "router:external": True}
    network = _new(cluster, "networks", **vlan)
    ips = [f"203.0.{113 + number}.1", f"2001:db8:e{number}::1"]
    subnets: Body = {f"203.0.{113 + number}.0/24": 4}
    if random.random() < 0.5:
        subnets[f"2001:db8:e{number}::/64"] = 6
    for (cidr, version), ip in zip(subnets.items(), ips, strict=False):
        _new(cluster, "subnets", network_id=network["id"], ip_version=version, cidr=cidr, gateway_ip=ip)
    cluster.add_machine(network, f"02:00:00:00:0f:{number:02x}", ips)
    if random.random() < 0.5:
        beside = [f"203.0.{113 + number}.250", f"2001:db8:e{number}::250"]
        cluster.add_machine(network, f"02:00:00:00:0e:{number:02x}", beside)


def _port_body(cluster: Cluster, random: Random) -> Body:
    secure = random.random() < 0.85
    groups = [group["id"] for group in _some(cluster, "security-groups")]
    pairs = [
        {"ip_address": random.choice(("10.1.0.200", "10.2.0.128/28", "fd00:1::77", "192.0.2.0/24"))},
        {"ip_address": "10.1.0.201", "mac_address": random.choice(_VIRTUAL_MACS)},
    ]
    return {
        "binding:host_id": random.choice((*HOSTS, *HOSTS, "")),
        "admin_state_up": random.random() < 0.93,
        "port_security_enabled": secure,
        "security_groups": random.sample(groups, min(len(groups), random.randint(0, 2))) if secure else [],
        "allowed_address_pairs": random.sample(pairs, random.choice((0, 0, 0, 1, 2))) if secure else [],
        "qos_policy_id": random.choice([None, None, *(each["id"] for each in _some(cluster, "qos/policies"))]),
    }


def _port(cluster: Cluster, random: Random) -> None:
    networks = [each for each in _some(cluster, "networks") if not each["router:external"] or random.random() < 0.3]
    _new(cluster, "ports", network_id=random.choice(networks)["id"], **_port_body(cluster, random))


def _update_port(cluster: Cluster, random: Random) -> None:
    body, port = _port_body(cluster, random), random.choice(_guests(cluster))
    chosen = random.choice(("admin_state_up", "qos_policy_id", "allowed_address_pairs", "security", "security"))
    security = {name: body[name] for name in ("port_security_enabled", "security_groups", "allowed_address_pairs")}
    cluster.api.update("ports", port["id"], security if chosen == "security" else {chosen: body[chosen]}, ADMIN)


def _move_port(cluster: Cluster, random: Random) -> None:
    """A trunk's subports go with their parent."""
    seated = {seat["port_id"] for trunk in _some(cluster, "trunks") for seat in trunk["sub_ports"]}
    port = random.choice([each for each in _guests(cluster) if each["id"] not in seated])
    cluster.api.update("ports", port["id"], {"binding:host_id": random.choice((*HOSTS, *HOSTS, ""))}, ADMIN)


def _rule(cluster: Cluster, random: Random) -> None:
    body: Body = {"direction": random.choice(("ingress", "ingress", "egress"))}
    body["ethertype"] = random.choice(("IPv4", "IPv4", "IPv6"))
    body["protocol"] = random.choice((None, "tcp", "tcp", "udp", "icmp", "47"))
    if body["protocol"] in ("tcp", "udp") and random.random() < 0.8:
        first = random.choice(L4_PORTS)
        body |= {"port_range_min": first, "port_range_max": first + random.choice((0, 0, 1, 6, 1000))}
    if body["protocol"] == "icmp" and random.random() < 0.5:
        body |= {"port_range_min": random.choice((8, 128, 3)), "port_range_max": random.choice((None, 0))}
    groups = _some(cluster, "address-groups")
    match random.choice(("any", "any", "prefix", "group", "group", "addresses")):
        case "prefix":
            six = body["ethertype"] == "IPv6"
            body["remote_ip_prefix"] = random.choice([each for each in PREFIXES if (":" in each) == six])
        case "group":
            body["remote_group_id"] = _one(cluster, random, "security-groups")["id"]
        case "addresses" if groups:
            body["remote_address_group_id"] = random.choice(groups)["id"]
    _new(cluster, "security-group-rules", security_group_id=_one(cluster, random, "security-groups")["id"], **body)


def _addresses(cluster: Cluster, random: Random) -> None:
    group = random.choice(_some(cluster, "address-groups"))
    action = RESOURCES["address-groups"].actions[random.choice(("add_addresses", "remove_addresses"))]
    body = {"addresses": [random.choice(("10.1.0.0/26", "10.2.0.0/24", "203.0.113.1/32", "fd00:2::/64"))]}
    cluster.api.write(lambda tx: action(tx, ADMIN, group["id"], body))


def _router(cluster: Cluster, random: Random) -> None:
    _new(cluster, "routers")


def _interface(cluster: Cluster, random: Random) -> None:
    """By the subnet's gateway address, or by a port of its own, so that several routers can be on one subnet."""
    router, subnet = _one(cluster, random, "routers"), _one(cluster, random, "subnets")
    machines = {ip for machine in cluster.machines for ip in machine["ips"]}
    if random.random() < 0.7 and subnet["gateway_ip"] not in machines:
        _router_act(cluster, router, "add_router_interface", {"subnet_id": subnet["id"]})
        return
    leg = _new(cluster, "ports", network_id=subnet["network_id"], fixed_ips=[{"subnet_id": subnet["id"]}])
    _router_act(cluster, router, "add_router_interface", {"port_id": leg["id"]})


def _remove_interface(cluster: Cluster, random: Random) -> None:
    legs = [port for port in _some(cluster, "ports") if port["device_owner"] == "network:router_interface"]
    leg = random.choice(legs)
    cluster.api.act(leg["device_id"], "remove_router_interface", {"port_id": leg["id"]}, by=ADMIN)


def _gateway(cluster: Cluster, random: Random) -> None:
    outside = random.choice([each for each in _some(cluster, "networks") if each["router:external"]])
    told = {"network_id": outside["id"], "enable_snat": random.random() < 0.7}
    router = _one(cluster, random, "routers")
    gateway = None if random.random() < 0.1 else told
    cluster.api.update("routers", router["id"], {"external_gateway_info": gateway}, ADMIN)


def _update_router(cluster: Cluster, random: Random) -> None:
    router = _one(cluster, random, "routers")
    cluster.api.update("routers", router["id"], {"admin_state_up": not router["admin_state_up"]}, ADMIN)


def _route(cluster: Cluster, random: Random) -> None:
    """Towards another subnet or what nobody has, by anybody's address."""
    ports = [port for port in _some(cluster, "ports") if port["fixed_ips"]]
    nexthop = random.choice(random.choice(ports)["fixed_ips"])["ip_address"]
    cidrs = [subnet["cidr"] for subnet in _some(cluster, "subnets")] + ["192.0.2.0/24", "198.51.100.0/25"]
    route = {"destination": random.choice(cidrs), "nexthop": nexthop}
    router = _one(cluster, random, "routers")
    if not any(each["destination"] == route["destination"] for each in router["routes"]):
        _router_act(cluster, router, "add_extraroutes", {"router": {"routes": [route]}})


def _ways(cluster: Cluster, random: Random) -> None:
    """Several next hops for one destination, among those on the router's networks."""
    router = _one(cluster, random, "routers")
    legs = [port for port in _some(cluster, "ports") if port["device_id"] == router["id"]]
    networks = {leg["network_id"] for leg in legs}
    beside = [port for port in _some(cluster, "ports") if port["network_id"] in networks and port not in legs]
    fixed = [fixed["ip_address"] for port in beside for fixed in port["fixed_ips"]]
    fixed += [ip for machine in cluster.machines if machine["network_id"] in networks for ip in machine["ips"]]
    six = random.random() < 0.2
    nexthops = [ip for ip in fixed if (":" in ip) == six]
    destination = "2001:db8:ffff::/64" if six else random.choice(("192.0.2.0/24", "198.51.100.0/25", "10.9.0.0/16"))
    routes = [{"destination": destination, "nexthop": ip} for ip in random.sample(nexthops, min(3, len(nexthops)))]
    _router_act(cluster, router, "add_extraroutes", {"router": {"routes": routes}})


def _row(cluster: Cluster, random: Random) -> None:
    """A router comes to stand behind another one: each leads to a subnet of the other, or to everything, by its leg on
    a network that both are on.
    """
    legs = [port for port in _some(cluster, "ports") if port["device_owner"] == "network:router_interface"]
    near = random.choice(legs)
    other = random.choice([each["id"] for each in _some(cluster, "routers") if each["id"] != near["device_id"]])
    shared = [leg for leg in legs if (leg["network_id"], leg["device_id"]) == (near["network_id"], other)]
    if not shared:
        subnet = {"subnet_id": near["fixed_ips"][0]["subnet_id"]}
        shared.append(_new(cluster, "ports", network_id=near["network_id"], fixed_ips=[subnet]))
        cluster.api.act(other, "add_router_interface", {"port_id": shared[0]["id"]}, by=ADMIN)
    for router, far, nexthop in ((near["device_id"], other, shared[0]), (other, near["device_id"], near)):
        behind = [leg for leg in legs if leg["device_id"] == far and leg["network_id"] != near["network_id"]]
        subnets = [fixed["subnet_id"] for leg in behind for fixed in leg["fixed_ips"]]
        cidrs = [cluster.api.get("subnets", each, ADMIN)["cidr"] for each in subnets]
        nexthop_ip = nexthop["fixed_ips"][0]["ip_address"]
        everything = "::/0" if ":" in nexthop_ip else "0.0.0.0/0"
        route = {"destination": random.choice([*cidrs, *cidrs, everything]), "nexthop": nexthop_ip}
        if random.random() < 0.9:
            cluster.api.act(router, "add_extraroutes", {"router": {"routes": [route]}}, by=ADMIN)


def _floating_ip(cluster: Cluster, random: Random) -> None:
    outside = random.choice([each for each in _some(cluster, "networks") if each["router:external"]])
    floating = _new(cluster, "floatingips", floating_network_id=outside["id"])
    port = random.choice(_guests(cluster))
    cluster.api.update("floatingips", floating["id"], {"port_id": port["id"]}, ADMIN)


def _forwarding(cluster: Cluster, random: Random) -> None:
    unused = [each for each in _some(cluster, "floatingips") if not each["port_id"]]
    floating = random.choice(unused)
    port, outer, inner = random.choice(_guests(cluster)), random.choice(L4_PORTS), random.choice(L4_PORTS)
    body: Body = {"internal_port_id": port["id"], "internal_ip_address": port["fixed_ips"][0]["ip_address"]}
    body["protocol"] = random.choice(("tcp", "udp"))
    if random.random() < 0.3:
        body |= {"external_port_range": f"{outer}:{outer + 3}", "internal_port_range": f"{inner}:{inner + 3}"}
    else:
        body |= {"external_port": outer, "internal_port": inner}
    Below(cluster.api, "floatingips", "port_forwardings", floating["id"]).create(ADMIN, **body)


def _ndp_proxy(cluster: Cluster, random: Random) -> None:
    """A router that has IPv6 outside becomes one, and answers for some address behind it."""
    router = random.choice([each for each in _some(cluster, "routers") if each["external_gateway_info"]])
    if not router["enable_ndp_proxy"]:
        cluster.api.update("routers", router["id"], {"enable_ndp_proxy": True}, ADMIN)
    legs = {port["network_id"] for port in _some(cluster, "ports") if port["device_id"] == router["id"]}
    behind = [port for port in _guests(cluster) if port["network_id"] in legs]
    six = [port for port in behind if any(":" in fixed["ip_address"] for fixed in port["fixed_ips"])]
    _new(cluster, "ndp_proxies", router_id=router["id"], port_id=random.choice(six)["id"])


def _local_ip(cluster: Cluster, random: Random) -> None:
    network = random.choice([each for each in _some(cluster, "networks") if not each["router:external"]])
    mode = random.choice(("translate", "translate", "passthrough"))
    _new(cluster, "local_ips", network_id=network["id"], ip_mode=mode)


def _mean(cluster: Cluster, random: Random) -> None:
    """A local IP comes to mean a guest, above all one that has another beside it to ask for the address."""
    seats = [(port["network_id"], port["binding:host_id"]) for port in _guests(cluster)]
    beside = [port for port, seat in zip(_guests(cluster), seats, strict=True) if seat[1] and seats.count(seat) > 1]
    port = random.choice([*beside * 4, *_guests(cluster)])
    ips = sorted((fixed["ip_address"] for fixed in port["fixed_ips"]), key=lambda ip: ":" in ip)
    body = {"fixed_port_id": port["id"], "fixed_ip": ips[0] if random.random() < 0.9 else ips[-1]}
    Below(cluster.api, "local_ips", "port_associations", _one(cluster, random, "local_ips")["id"]).create(ADMIN, **body)


def _mean_no_more(cluster: Cluster, random: Random) -> None:
    associations = Below(cluster.api, "local_ips", "port_associations", _one(cluster, random, "local_ips")["id"])
    associations.delete(random.choice(associations.list(ADMIN))["fixed_port_id"], ADMIN)


def _trunk(cluster: Cluster, random: Random) -> None:
    """A parent is nowhere yet when it becomes one, and then its guest starts."""
    trunks, guests = _some(cluster, "trunks"), _guests(cluster)
    parents = {trunk["port_id"] for trunk in trunks}
    parent = random.choice([each for each in guests if each["id"] in parents or not each["binding:host_id"]])
    child = random.choice(guests)
    trunk = next((each for each in trunks if each["port_id"] == parent["id"]), None)
    trunk = trunk or _new(cluster, "trunks", port_id=parent["id"])
    seat = {"port_id": child["id"], "segmentation_type": "vlan", "segmentation_id": random.randint(2, 5)}
    action = RESOURCES["trunks"].actions["add_subports"]
    cluster.api.write(lambda tx: action(tx, ADMIN, trunk["id"], {"sub_ports": [seat]}))
    if not parent["binding:host_id"]:
        cluster.api.update("ports", parent["id"], {"binding:host_id": random.choice(HOSTS)}, ADMIN)


def _block(cluster: Cluster, random: Random) -> None:
    policies = Below(cluster.api, "qos/policies", "port_block_rules", _one(cluster, random, "qos/policies")["id"])
    first = random.choice(L4_PORTS)
    body: Body = {"direction": random.choice(("ingress", "egress")), "protocol": random.choice(("tcp", "udp"))}
    prefix = random.choice((None, None, *PREFIXES))
    policies.create(ADMIN, **body, port_range_min=first, port_range_max=first + 3, remote_ip_prefix=prefix)


def _restrict(cluster: Cluster, random: Random) -> None:
    """An operator takes something from a guest, above all from one with a trunk, from a network or from an address."""
    parents = [trunk["port_id"] for trunk in _some(cluster, "trunks")] * 4
    guest = random.choice(_guests(cluster))
    floating = [each["floating_ip_address"] for each in _some(cluster, "floatingips") if each["port_id"]]
    fixed = [each["ip_address"] for each in guest["fixed_ips"]]
    target_kind, target = random.choice(
        (
            *[("port", random.choice([*parents, guest["id"]]))] * 4,
            ("network", guest["network_id"]),
            *(("address", address) for address in (*fixed, *floating)),
        )
    )
    block: Body = {"kind": "port_block", "protocol": random.choice(("tcp", "udp")), "port_min": random.choice(L4_PORTS)}
    block |= {"direction": random.choice((None, "ingress", "egress"))}
    wanted = random.choice((block, block, {"kind": "quarantine"})) | {"target_kind": target_kind, "target": target}
    one = restrictions.SPEC.for_create({**wanted, "reason": "spam"}, ADMIN)
    cluster.api.write(lambda tx: restrictions.create_restrictions(tx, ADMIN, [one]))


def _release(cluster: Cluster, random: Random) -> None:
    made = random.choice(cluster.restrictions())
    cluster.api.write(lambda tx: restrictions.release(tx, ADMIN, made["id"], "mended"))


def _delete(path: str) -> Act:
    return lambda cluster, random: cluster.api.delete(path, _one(cluster, random, path)["id"], ADMIN)


def _delete_port(cluster: Cluster, random: Random) -> None:
    cluster.api.delete("ports", random.choice(_guests(cluster))["id"], ADMIN)


def _update_network(cluster: Cluster, random: Random) -> None:
    network = random.choice([each for each in _some(cluster, "networks") if not each["router:external"]])
    policy = random.choice([None, *(each["id"] for each in _some(cluster, "qos/policies"))])
    body = random.choice(({"admin_state_up": not network["admin_state_up"]}, {"qos_policy_id": policy}))
    cluster.api.update("networks", network["id"], body, ADMIN)


def _group(cluster: Cluster, random: Random) -> None:
    _new(cluster, "security-groups", name="g", stateful=random.random() < 0.75)


ACTS: Final[dict[str, Act]] = {
    "network": _network,
    "external": _external,
    "update_network": _update_network,
    "port": _port,
    "update_port": _update_port,
    "move_port": _move_port,
    "delete_port": _delete_port,
    "group": _group,
    "rule": _rule,
    "delete_rule": _delete("security-group-rules"),
    "address_group": lambda cluster, _: _new(cluster, "address-groups", addresses=["10.1.0.0/25"]),
    "addresses": _addresses,
    "router": _router,
    "interface": _interface,
    "remove_interface": _remove_interface,
    "gateway": _gateway,
    "update_router": _update_router,
    "route": _route,
    "ways": _ways,
    "row": _row,
    "floating_ip": _floating_ip,
    "delete_floating_ip": _delete("floatingips"),
    "unused_floating_ip": lambda cluster, random: _new(
        cluster,
        "floatingips",
        floating_network_id=random.choice([n for n in _some(cluster, "networks") if n["router:external"]])["id"],
    ),
    "forwarding": _forwarding,
    "ndp_proxy": _ndp_proxy,
    "delete_ndp_proxy": _delete("ndp_proxies"),
    "local_ip": _local_ip,
    "mean": _mean,
    "mean_no_more": _mean_no_more,
    "trunk": _trunk,
    "policy": lambda cluster, _: _new(cluster, "qos/policies", name="q"),
    "block": _block,
    "restrict": _restrict,
    "release": _release,
}
BEGINNING: Final = (
    *("network", "network", "network", "external", "group", "group", "address_group", "policy", "block", "block"),
    *("rule",) * 10,
    *("router", "router", *("interface",) * 4, "gateway", "gateway", "route", "row"),
    *("port",) * 8,
    *("floating_ip", "floating_ip", "unused_floating_ip", "forwarding", "forwarding", "trunk", "ways", "ways"),
    *("ndp_proxy", "ndp_proxy", "local_ip", "local_ip", *("mean",) * 5),
    "restrict",
)
"""What every cloud starts with, each with a seed of its own."""


def begin(cluster: Cluster, seed: int) -> None:
    """A cloud that follows from the seed. Hosts are told all of it at once."""
    random = Random(seed)
    for name in BEGINNING:
        change(cluster, name, random.getrandbits(30))
    cluster.follow()
