"""Random acts on a small cloud, one transaction each, as operators and tenants do them; the impossible does nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from suimon.model import things, view
from suimon.model.actor import Actor
from suimon.model.errors import CallerError
from suimon.model.settings import Settings
from suimon.model.touches import ROUTER_INTERFACE, UNPLUGGED
from suimon.resources import hosts, restrictions
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Asked
from suimon.store.tx import Tx
from tests.distribution.world import make_host

HOSTS: Final = ("h1", "h2", "h3")
ADMIN: Final = Actor("u", "p", frozenset({"admin"}))
NOVA: Final = Actor("nova", "services", frozenset({"service"}))
SETTINGS: Final = Settings(vlans={"public": ((1, 4000),)})
IMPOSSIBLE: Final = (CallerError, IndexError)
"""What acts raise when the caller asks for what can't be, or there is nothing to choose from."""
Body = dict[str, Any]
Act = Callable[[Tx, Random], object]


def act(name: str, seed: int) -> Callable[[Tx], object]:
    """The act called `name`, with choices that follow from `seed`."""
    return lambda tx: ACTS[name](tx, Random(seed))


def first_hosts(tx: Tx) -> None:
    """Those that follow, and more gateway hosts: each leads some routers, and not all."""
    for number in range(4, 7):
        tx.insert(make_host(f"h{number}", f"192.0.2.{number}", "public"))
    for number, name in enumerate(HOSTS, 1):
        tx.insert(make_host(name, f"192.0.2.{number}", *(["public"] if number > 1 else [])))


def _create(tx: Tx, path: str, body: Body) -> str:
    resource = RESOURCES[path]
    assert resource.create is not None
    return resource.create(tx, ADMIN, resource.spec.for_create(body, ADMIN)).id


def _update(tx: Tx, path: str, id_: str, body: Body) -> None:
    resource = RESOURCES[path]
    assert resource.update is not None
    resource.update(tx, ADMIN, id_, resource.spec.for_update(body, ADMIN), None)


def _delete(tx: Tx, path: str, id_: str) -> None:
    delete = RESOURCES[path].delete
    assert delete is not None
    delete(tx, ADMIN, id_, None)


def _ids(tx: Tx, type_: type[Any], **where: object) -> list[str]:
    return [thing.id for thing in tx.select(type_, where, order=("created_at", "id"))]


def _some(tx: Tx, random: Random, type_: type[Any]) -> list[str]:
    ids = _ids(tx, type_)
    return random.sample(ids, min(len(ids), random.randint(0, 2)))


def _maybe(tx: Tx, random: Random, type_: type[Any]) -> str | None:
    return random.choice([None, *_ids(tx, type_)])


def _plugged(tx: Tx) -> list[things.Port]:
    return [p for p in tx.select(things.Port, order=("created_at", "id")) if p.device_owner not in UNPLUGGED]


def _create_network(tx: Tx, random: Random) -> None:
    vlan = {"provider:network_type": "vlan", "provider:physical_network": "public"}
    body = random.choice(({}, {}, vlan, vlan | {"router:external": True}))
    _create_subnet(tx, random, _create(tx, "networks", body))


def _create_subnet(tx: Tx, random: Random, network_id: str | None = None) -> None:
    network_id = network_id or random.choice(_ids(tx, things.Network))
    _create(tx, "subnets", {"network_id": network_id, "ip_version": 4, "cidr": f"10.0.{random.randint(0, 9)}.0/24"})


def _update_network(tx: Tx, random: Random) -> None:
    body = random.choice(
        ({"qos_policy_id": _maybe(tx, random, things.QosPolicy)}, {"mtu": random.choice((1400, 1450))})
    )
    _update(tx, "networks", random.choice(_ids(tx, things.Network)), body)


def _update_subnet(tx: Tx, random: Random) -> None:
    subnet = random.choice(tx.select(things.Subnet, order=("created_at", "id")))
    gateway_ip = random.choice((None, subnet.cidr.replace("0/24", "1"), subnet.cidr.replace("0/24", "254")))
    body = random.choice(({"gateway_ip": gateway_ip}, {"dns_nameservers": ["192.0.2.53"]}, {"name": "x"}))
    _update(tx, "subnets", subnet.id, body)


def _port_body(tx: Tx, random: Random) -> Body:
    secure = random.random() < 0.8
    body = {
        "binding:host_id": random.choice((*HOSTS, "")),
        "qos_policy_id": _maybe(tx, random, things.QosPolicy),
        "admin_state_up": random.random() < 0.8,
        "name": random.choice(("a", "b")),
        "allowed_address_pairs": [{"ip_address": "10.9.0.0/24"}] if secure and random.random() < 0.3 else [],
    }
    chosen = {name: body[name] for name in random.sample(sorted(body), random.randint(1, len(body)))}
    groups = _some(tx, random, things.SecurityGroup) if secure else []
    return chosen | {"port_security_enabled": secure, "security_groups": groups}


def _create_ports(tx: Tx, random: Random) -> None:
    resource, network_id = RESOURCES["ports"], random.choice(_ids(tx, things.Network))
    bodies = [{"network_id": network_id} | _port_body(tx, random) for _ in range(random.randint(1, 3))]
    assert resource.create_many is not None
    resource.create_many(tx, ADMIN, [resource.spec.for_create(body, ADMIN) for body in bodies])


def _update_port(tx: Tx, random: Random) -> None:
    _update(tx, "ports", random.choice(_plugged(tx)).id, _port_body(tx, random))


def _bind_besides(tx: Tx, random: Random) -> None:
    """To a host more, as before a live migration."""
    port = random.choice(_plugged(tx))
    _update(tx, "ports", port.id, {"device_owner": "compute:nova"})
    bindings = RESOURCES["ports"].children["bindings"]
    assert bindings.create is not None
    bindings.create(tx, NOVA, port.id, bindings.spec.for_create({"host": random.choice(HOSTS)}, NOVA))


def _activate_binding(tx: Tx, random: Random) -> None:
    waiting = random.choice(tx.select(things.PortBinding, order=("id",)))
    RESOURCES["ports"].children["bindings"].views["PUT {}/activate"].act(
        tx, NOVA, Asked(ids=(waiting.port_id, waiting.host))
    )


def _delete_binding(tx: Tx, random: Random) -> None:
    waiting = random.choice(tx.select(things.PortBinding, order=("id",)))
    delete = RESOURCES["ports"].children["bindings"].delete
    assert delete is not None
    delete(tx, NOVA, waiting.port_id, waiting.host, None)


def _report_port(tx: Tx, random: Random) -> None:
    port = random.choice(_plugged(tx))
    report = view.PortReport(port.id, "DOWN" if port.status == "ACTIVE" else "ACTIVE")
    hosts.set_port_status(tx, port.binding_host, [report])


def _delete_host_ports(tx: Tx, random: Random) -> None:
    """All of a host's in one transaction."""
    host = random.choice(HOSTS)
    for port in _plugged(tx):
        if port.binding_host == host:
            _delete(tx, "ports", port.id)


def _create_rule(tx: Tx, random: Random) -> None:
    body = {"security_group_id": random.choice(_ids(tx, things.SecurityGroup)), "direction": "ingress"}
    remote = {"remote_group_id": random.choice(_ids(tx, things.SecurityGroup))}
    addresses = {"remote_address_group_id": _maybe(tx, random, things.AddressGroup)}
    others = ({"protocol": "tcp"}, {"protocol": "17"})
    _create(tx, "security-group-rules", body | random.choice((remote, remote, addresses, addresses, *others)))


def _change_addresses(tx: Tx, random: Random) -> None:
    action = random.choice(("add_addresses", "remove_addresses"))
    body = {"addresses": [f"10.{random.randint(0, 2)}.0.0/16"]}
    RESOURCES["address-groups"].actions[action](tx, ADMIN, random.choice(_ids(tx, things.AddressGroup)), body)


def _update_group(tx: Tx, random: Random) -> None:
    body = {"stateful": random.random() < 0.5}
    _update(tx, "security-groups", random.choice(_ids(tx, things.SecurityGroup)), body)


def _interface(tx: Tx, action: str, router_id: str, body: Body) -> None:
    RESOURCES["routers"].actions[action](tx, ADMIN, router_id, body)


def _add_interface(tx: Tx, random: Random) -> None:
    """By the subnet's gateway address, or beside the router that has it."""
    router_id = random.choice(_ids(tx, things.Router))
    subnet = random.choice(tx.select(things.Subnet, order=("created_at", "id")))
    body = {"subnet_id": subnet.id}
    if random.random() < 0.5:
        body = {"port_id": _create(tx, "ports", {"network_id": subnet.network_id, "fixed_ips": [body]})}
    _interface(tx, "add_router_interface", router_id, body)


def _remove_interface(tx: Tx, random: Random) -> None:
    leg = random.choice(tx.select(things.Port, {"device_owner": ROUTER_INTERFACE}, order=("created_at", "id")))
    _interface(tx, "remove_router_interface", leg.device_id, {"port_id": leg.id})


def _set_gateway(tx: Tx, random: Random) -> None:
    network_id = random.choice([None, *_ids(tx, things.Network, external=True)])
    gateway = {"network_id": network_id, "qos_policy_id": _maybe(tx, random, things.QosPolicy)} if network_id else None
    _update(tx, "routers", random.choice(_ids(tx, things.Router)), {"external_gateway_info": gateway})


def _proxy(tx: Tx, random: Random) -> None:
    """A router becomes an NDP proxy, or none any more, or proxies an address."""
    router_id = random.choice(_ids(tx, things.Router))
    if random.random() < 0.5:
        _update(tx, "routers", router_id, {"enable_ndp_proxy": random.random() < 0.7})
    _create(tx, "ndp_proxies", {"router_id": router_id, "port_id": random.choice(_plugged(tx)).id})


def _local_ip(tx: Tx, random: Random) -> None:
    """A local IP of a network comes to mean a port, or doesn't any more."""
    child = RESOURCES["local_ips"].children["port_associations"]
    assert child.create is not None and child.delete is not None
    if random.random() < 0.3:
        one = random.choice(tx.select(things.LocalIpAssociation, order=("created_at", "id")))
        child.delete(tx, ADMIN, one.local_ip_id, one.fixed_port_id, None)
        return
    local_ip = _create(tx, "local_ips", {"network_id": random.choice(_ids(tx, things.Network))})
    port = random.choice(_plugged(tx))
    body = {"fixed_port_id": port.id, "fixed_ip": random.choice(port.fixed_ips).ip}
    child.create(tx, ADMIN, local_ip, child.spec.for_create(body, ADMIN))


def _route(tx: Tx, random: Random) -> None:
    """By another router's leg if there is one on a network of the router's, so that there are routers in a row."""
    router = random.choice(tx.select(things.Router, order=("created_at", "id")))
    legs = tx.select(things.Port, {"device_owner": ROUTER_INTERFACE}, order=("created_at", "id"))
    mine = {leg.network_id for leg in legs if leg.device_id == router.id}
    others = [leg for leg in legs if leg.network_id in mine and leg.device_id != router.id]
    hops = [fixed.ip for port in others or _plugged(tx) for fixed in port.fixed_ips]
    route = {"destination": f"10.{random.randint(1, 2)}.0.0/16", "nexthop": random.choice(hops)}
    action = random.choice(("add_extraroutes", "add_extraroutes", "remove_extraroutes"))
    RESOURCES["routers"].actions[action](tx, ADMIN, router.id, {"router": {"routes": [route]}})


def _update_router(tx: Tx, random: Random) -> None:
    _update(tx, "routers", random.choice(_ids(tx, things.Router)), {"admin_state_up": random.random() < 0.5})


def _create_floating_ip(tx: Tx, random: Random) -> None:
    body = {"floating_network_id": random.choice(_ids(tx, things.Network, external=True))}
    _associate_with(tx, random, _create(tx, "floatingips", body))


def _associate(tx: Tx, random: Random) -> None:
    _associate_with(tx, random, random.choice(_ids(tx, things.FloatingIp)))


def _associate_with(tx: Tx, random: Random, id_: str) -> None:
    """With a port of a network that has a router if there is one: few others can be."""
    routed = {leg.network_id for leg in tx.select(things.Port, {"device_owner": ROUTER_INTERFACE})}
    ports = [port.id for port in _plugged(tx) if port.network_id in routed]
    policy = {"qos_policy_id": _maybe(tx, random, things.QosPolicy)}
    body = {"port_id": random.choice([*ports, *ports, None])}
    _update(tx, "floatingips", id_, random.choice((body, policy, body | policy)))


def _forward(tx: Tx, random: Random) -> None:
    """An L4 port of a floating IP to a port that a router reaches."""
    legs = tx.select(things.Port, {"device_owner": ROUTER_INTERFACE})
    port = random.choice([each for each in _plugged(tx) if each.network_id in {leg.network_id for leg in legs}])
    ports = {"external_port": random.randint(1, 9), "internal_port": 80, "protocol": "tcp"}
    body = {"internal_port_id": port.id, "internal_ip_address": port.fixed_ips[0].ip, **ports}
    child = RESOURCES["floatingips"].children["port_forwardings"]
    assert child.create is not None
    child.create(tx, ADMIN, random.choice(_ids(tx, things.FloatingIp)), child.spec.for_create(body, ADMIN))


def _claim(tx: Tx, random: Random) -> None:
    """A bound port's guest claims the address of a port that is bound to no host, which may have a floating IP."""
    ports = _plugged(tx)
    kept = random.choice([port for port in ports if not port.binding_host and port.fixed_ips][:1])
    near = [port for port in ports if port.binding_host and port.network_id == kept.network_id and port.port_security]
    holder, ip = random.choice(near), kept.fixed_ips[0].ip
    if ip not in {pair.cidr for pair in holder.allowed_address_pairs}:
        _update(tx, "ports", holder.id, {"allowed_address_pairs": [{"ip_address": ip}]})
        return
    pair = view.AddressPair(holder.mac_address, ip)
    hosts.note_claims(tx, holder.binding_host, [view.Claim(holder.id, pair, random.uniform(0, 3000))])


def _create_qos_rule(tx: Tx, random: Random) -> None:
    name, body = random.choice(
        (
            ("bandwidth_limit_rules", {"max_kbps": random.randint(1, 9) * 1000, "direction": "ingress"}),
            ("port_block_rules", {"protocol": "tcp", "port_range_min": 25, "port_range_max": random.randint(25, 30)}),
            ("packet_rate_limit_rules", {"max_kpps": random.randint(0, 9)}),
            ("dscp_marking_rules", {"dscp_mark": random.choice((0, 8, 26))}),
            ("minimum_bandwidth_rules", {"min_kbps": 1}),
        )
    )
    child = RESOURCES["qos/policies"].children[name]
    assert child.create is not None
    child.create(tx, ADMIN, random.choice(_ids(tx, things.QosPolicy)), child.spec.for_create(body, ADMIN))


def _delete_qos_rule(tx: Tx, random: Random) -> None:
    types = {"port_block_rules": things.PortBlockRule, "dscp_marking_rules": things.DscpMarkingRule}
    name = random.choice(sorted(types))
    rule = random.choice(tx.select(types[name], order=("created_at", "id")))
    delete = RESOURCES["qos/policies"].children[name].delete
    assert delete is not None
    delete(tx, ADMIN, rule.policy_id, rule.id, None)


def _restrict(tx: Tx, random: Random) -> None:
    """A port, its network or project, an address of it, or one outside."""
    port = random.choice(_plugged(tx))
    target_kind, target = random.choice(
        (
            ("port", port.id),
            ("port", port.id),
            ("network", port.network_id),
            ("project", port.project_id),
            ("address", port.fixed_ips[0].ip),
            ("outside_address", f"203.0.113.{random.randint(1, 3)}"),
        )
    )
    outside = target_kind == "outside_address"
    wanted = {"kind": "port_block", "reason": "spam", "duration_s": random.choice((None, 3600))}
    wanted |= {} if outside else {"protocol": "tcp", "port_min": 25}
    body = {**wanted, "target_kind": target_kind, "target": target}
    restrictions.create_restrictions(tx, ADMIN, [restrictions.SPEC.for_create(body, ADMIN)])


def _release(tx: Tx, random: Random) -> None:
    restrictions.release(tx, ADMIN, random.choice(_ids(tx, things.Restriction, state="active")), "mended")


def _change_owner(tx: Tx, random: Random) -> None:
    """Of the cloud's own ports no restriction is told."""
    owner = random.choice(("compute:nova", "network:dhcp", ""))
    _update(tx, "ports", random.choice(_plugged(tx)).id, {"device_owner": owner})


def _delete_any(path: str, type_: type[Any]) -> Act:
    return lambda tx, random: _delete(tx, path, random.choice(_ids(tx, type_)))


def _named(path: str) -> Act:
    return lambda tx, random: _create(tx, path, {"name": f"n{random.random()}"})


ACTS: Final[dict[str, Act]] = {
    "create_network": _create_network,
    "update_network": _update_network,
    "delete_network": _delete_any("networks", things.Network),
    "create_subnet": _create_subnet,
    "update_subnet": _update_subnet,
    "delete_subnet": _delete_any("subnets", things.Subnet),
    "create_ports": _create_ports,
    "update_port": _update_port,
    "bind_besides": _bind_besides,
    "activate_binding": _activate_binding,
    "delete_binding": _delete_binding,
    "report_port": _report_port,
    "claim": _claim,
    "delete_port": lambda tx, random: _delete(tx, "ports", random.choice(_plugged(tx)).id),
    "delete_host_ports": _delete_host_ports,
    "create_group": _named("security-groups"),
    "delete_group": _delete_any("security-groups", things.SecurityGroup),
    "update_group": _update_group,
    "create_addresses": lambda tx, random: _create(tx, "address-groups", {"addresses": ["10.0.0.0/24"]}),
    "change_addresses": _change_addresses,
    "delete_addresses": _delete_any("address-groups", things.AddressGroup),
    "create_rule": _create_rule,
    "delete_rule": _delete_any("security-group-rules", things.SecurityGroupRule),
    "create_router": _named("routers"),
    "update_router": _update_router,
    "route": _route,
    "delete_router": _delete_any("routers", things.Router),
    "add_interface": _add_interface,
    "remove_interface": _remove_interface,
    "set_gateway": _set_gateway,
    "create_floating_ip": _create_floating_ip,
    "associate": _associate,
    "forward": _forward,
    "proxy": _proxy,
    "local_ip": _local_ip,
    "delete_floating_ip": _delete_any("floatingips", things.FloatingIp),
    "create_policy": _named("qos/policies"),
    "delete_policy": _delete_any("qos/policies", things.QosPolicy),
    "create_qos_rule": _create_qos_rule,
    "delete_qos_rule": _delete_qos_rule,
    "restrict": _restrict,
    "release": _release,
    "change_owner": _change_owner,
}
BEGINNING: Final[Sequence[str]] = (
    "create_network", "create_network", "create_network", "create_network", "create_group", "create_group",
    "create_addresses", "create_router", "create_policy", "create_qos_rule", "create_rule", "create_rule",
    "add_interface", "add_interface", "set_gateway", "set_gateway", "create_ports", "create_ports",
    "create_floating_ip", "associate", "create_floating_ip", "forward",
    "create_router", "create_router", "add_interface", "add_interface", "add_interface", "route", "route",
    "claim", "claim", "claim", "claim", "restrict", "restrict", "restrict",
)  # fmt: skip
"""What every example starts with, so that random acts find something to act on."""
