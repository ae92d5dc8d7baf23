"""The store's rows as what hosts are told: all of some scopes, or some by name, in one or two statements a kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import BindParameter, Select, and_, bindparam, case, func, literal, null, or_, select, union_all
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.expression import CompoundSelect

from suimon.distribution import composed
from suimon.distribution.gateways import gateways
from suimon.distribution.policies import OF_FLOATING_IP, OF_PORT
from suimon.distribution.restrictions import restrictions
from suimon.model import view
from suimon.model.touches import ROUTER_INTERFACE, UNPLUGGED
from suimon.store.tables import (
    ADDRESS_GROUPS,
    FLOATING_IPS,
    HOSTS,
    LOCAL_IP_ASSOCIATIONS,
    LOCAL_IPS,
    NETWORKS,
    PORT_BINDINGS,
    PORT_SECURITY_GROUPS,
    PORTS,
    SUBNETS,
    SUBPORTS,
    TRUNKS,
    VIRTUAL_ADDRESSES,
)
from suimon.store.tx import Tx

Statement = Select[Any] | CompoundSelect[Any]
Values = tuple[Any, ...]
"""A row, in the order of its statement's columns."""

_FIXED_IPS = msgspec.json.Decoder(tuple[view.FixedIp, ...])
_PAIRS = msgspec.json.Decoder(tuple[view.AddressPair, ...])
_DHCP_OPTIONS = msgspec.json.Decoder(tuple[view.DhcpOption, ...])
_TEXTS = msgspec.json.Decoder(tuple[str, ...])
_ROUTES = msgspec.json.Decoder(tuple[view.Route, ...])


def read(tx: Tx, scopes: Iterable[str], keys: Iterable[view.Key]) -> list[view.Object]:
    """Every object of these scopes, and every one of these keys in whatever scopes it is now.

    It may hold others besides: the caller takes by scope what it wants. A missing key is an object that is gone, or one
    that nobody is told of any more. A port that is bound to several hosts is in the scope of each.
    """
    in_scopes, named = _by_kind(scope.split(":", 1) for scope in scopes), _by_kind(keys)
    found: list[view.Object] = []
    for kind, rows in _ROWS:
        found += rows.read(tx, in_scopes.get(rows.scope, ()), named.get(kind, ()))
    for kind, compose in _COMPOSED.items():
        ids = {*in_scopes.get(_CALLED.get(kind, kind), ()), *named.get(kind, ())}
        found += compose(tx, ids) if ids else ()
    found += restrictions(tx, in_scopes, named.get("restriction", set()))
    return [_in_domain(thing, tx.settings.dns_domain) for thing in found]


def _in_domain(thing: view.Object, default: str) -> view.Object:
    """A network without a domain is in the installation's."""
    if isinstance(thing, view.Network) and not thing.dns_domain:
        return msgspec.structs.replace(thing, dns_domain=default)
    return thing


class _Rows(NamedTuple):
    """A kind whose objects are one row each; `scope` is what its scopes are called."""

    scope: str
    make: Callable[[Values], view.Object]
    by_scope: Statement
    by_id: Statement

    def read(self, tx: Tx, scopes: Collection[str], ids: Collection[str]) -> Iterator[view.Object]:
        for statement, wanted in ((self.by_scope, scopes), (self.by_id, ids)):
            if wanted:
                yield from map(self.make, map(tuple, tx.rows(statement, {"wanted": sorted(wanted)})))


def _by_kind(pairs: Iterable[Sequence[str]]) -> Mapping[str, set[str]]:
    sorted_out: dict[str, set[str]] = {}
    for kind, id_ in pairs:
        # A member's id is "group/port"; it is found by its port. An address group is its own only member.
        group_id, _, name = id_.rpartition("/")
        own = kind == "member" and group_id == name
        sorted_out.setdefault(_ADDRESS_GROUP if own else _AMONG.get(kind, kind), set()).add(name)
    return sorted_out


def _rows(
    scope: str, make: Callable[[Values], view.Object], statement: Select[Any], columns: Sequence[ColumnElement[str]]
) -> _Rows:
    wanted: BindParameter[Any] = bindparam("wanted", expanding=True)
    by_scope, by_id = (statement.where(column.in_(wanted)) for column in columns)
    return _Rows(scope, make, by_scope, by_id)


def _networks() -> _Rows:
    n = NETWORKS.c
    columns = (n.id, n.network_type, n.segment, n.physnet, n.mtu, n.external, n.admin_state_up, n.dns_domain)
    return _rows("network", lambda row: view.Network(*row), select(*columns), (n.id, n.id))


def _subnets() -> _Rows:
    s = SUBNETS.c
    columns = (s.id, s.network_id, s.cidr, s.gateway_ip, s.enable_dhcp, s.dns_nameservers, s.host_routes)
    statement = select(*columns, s.ipv6_ra_mode, s.ipv6_address_mode)
    return _rows("network", _subnet, statement, (s.network_id, s.id))


def _subnet(row: Values) -> view.Subnet:
    id_, network_id, cidr, gateway_ip, dhcp, dns, routes, *modes = row
    return view.Subnet(id_, network_id, cidr, gateway_ip, dhcp, _TEXTS.decode(dns), _ROUTES.decode(routes), *modes)


def _ports() -> _Rows:
    """Of the active host, and of those that a port is bound to besides: there are few of them at a time."""
    p, binding = PORTS.c, PORT_BINDINGS.c
    others = (
        select(func.aggregate_strings(HOSTS.c.tunnel_ip, ","))
        .where(PORT_BINDINGS.c.port_id == p.id, HOSTS.c.name == PORT_BINDINGS.c.host)
        .correlate(PORTS)
        .scalar_subquery()
    )
    active = select(HOSTS.c.tunnel_ip).where(HOSTS.c.name == p.binding_host).correlate(PORTS).scalar_subquery()
    there = _port_statement(p.binding_host, literal(True), others).where(*_bound())
    waiting = _port_statement(binding.host, literal(False), active)
    waiting = waiting.join(PORT_BINDINGS, binding.port_id == p.id).where(*_bound())
    wanted: BindParameter[Any] = bindparam("wanted", expanding=True)
    by_scope = union_all(there.where(p.binding_host.in_(wanted)), waiting.where(binding.host.in_(wanted)))
    by_id = union_all(there.where(p.id.in_(wanted)), waiting.where(p.id.in_(wanted)))
    return _Rows("host", _port, by_scope, by_id)


def _port_statement(host: ColumnElement[str], active: ColumnElement[bool], others: ColumnElement[Any]) -> Select[Any]:
    p = PORTS.c
    kept_whole = (p.fixed_ips, p.security_groups, p.allowed_address_pairs, p.extra_dhcp_opts)
    plain = (p.id, host, p.network_id, p.mac_address, p.admin_state_up, p.port_security, p.name, p.dns_name)
    trunk = (TRUNKS.c.port_id, SUBPORTS.c.segmentation_id)
    statement = select(
        *plain,
        OF_PORT,
        *kept_whole,
        p.device_id,
        p.project_id,
        *trunk,
        active,
        others,
        _local_ips(),
        _held(),
        p.infrastructure,
    )
    statement = statement.select_from(PORTS).join(NETWORKS, NETWORKS.c.id == p.network_id)
    statement = statement.outerjoin(SUBPORTS, SUBPORTS.c.port_id == p.id)
    return statement.outerjoin(TRUNKS, TRUNKS.c.id == SUBPORTS.c.trunk_id)


def _local_ips() -> ColumnElement[str]:
    """Those that mean a port, each as its address, the port's and its mode."""
    local, means = LOCAL_IPS.c, LOCAL_IP_ASSOCIATIONS.c
    shown = local.local_ip_address + " " + means.fixed_ip + " " + local.ip_mode
    found = select(func.aggregate_strings(shown, ",")).where(local.id == means.local_ip_id)
    return found.where(means.fixed_port_id == PORTS.c.id).correlate(PORTS).scalar_subquery()


def _local_ip(shown: str) -> view.LocalIp:
    address, fixed_ip, mode = shown.split(" ")
    return view.LocalIp(address, fixed_ip, mode == "translate")


def _held() -> ColumnElement[str]:
    """The virtual addresses that a port holds, each as its MAC and the address."""
    v = VIRTUAL_ADDRESSES.c
    found = select(func.aggregate_strings(v.mac + " " + v.ip, ","))
    return found.where(v.holder_id == PORTS.c.id).correlate(PORTS).scalar_subquery()


def _holds(held: str | None) -> tuple[view.AddressPair, ...]:
    return tuple(view.AddressPair(*each.split(" ")) for each in sorted(held.split(","))) if held else ()


def _port(row: Values) -> view.Port:
    id_, host, network_id, mac, up, security, name, dns_name, policy, fixed_ips, groups, pairs, options, *more = row
    device_id, project_id, parent, vlan, active, others, local_ips, held, infrastructure = more
    return view.Port(
        id=id_,
        host=host,
        network_id=network_id,
        mac=mac,
        fixed_ips=_FIXED_IPS.decode(fixed_ips),
        up=up,
        security=security,
        groups=_TEXTS.decode(groups) if security else (),
        pairs=_PAIRS.decode(pairs),
        qos_id=policy,
        name=name,
        dhcp_options=tuple(option for option in _DHCP_OPTIONS.decode(options) if option.ip_version == 4),
        dhcp6_options=tuple(option for option in _DHCP_OPTIONS.decode(options) if option.ip_version == 6),
        dns_name=dns_name,
        device_id=device_id,
        project_id=project_id,
        parent=parent,
        vlan=vlan,
        active=bool(active),
        others=tuple(sorted(others.split(","))) if others else (),
        local_ips=tuple(map(_local_ip, sorted(local_ips.split(",")))) if local_ips else (),
        holds=_holds(held),
        infrastructure=bool(infrastructure),
    )


def _peers() -> _Rows:
    p = PORTS.c
    plain = (p.id, p.network_id, p.mac_address, p.binding_host, HOSTS.c.tunnel_ip)
    router_id = case((p.device_owner == ROUTER_INTERFACE, p.device_id), else_=null())
    statement = select(*plain, p.fixed_ips, p.allowed_address_pairs, p.dns_name, _held(), router_id).select_from(PORTS)
    leg_that_is_up = and_(p.device_owner == ROUTER_INTERFACE, p.status == "ACTIVE")
    statement = statement.outerjoin(HOSTS, HOSTS.c.name == p.binding_host).where(or_(and_(*_bound()), leg_that_is_up))
    return _rows("peers", _peer, statement, (p.network_id, p.id))


def _peer(row: Values) -> view.Peer | view.Leg:
    id_, network_id, mac, host, vtep, fixed_ips, pairs, name, held, router_id = row
    ips = tuple(fixed.ip for fixed in _FIXED_IPS.decode(fixed_ips))
    if router_id is not None:
        return view.Leg(id_, router_id, network_id, mac, ips)
    macs = sorted({pair.mac for pair in _PAIRS.decode(pairs)} - {mac})
    return view.Peer(id_, network_id, mac, ips, host, vtep, tuple(macs), name, _holds(held))


def _members() -> _Rows:
    belongs, p = PORT_SECURITY_GROUPS.c, PORTS.c
    columns = (belongs.group_id, belongs.port_id, p.fixed_ips, p.allowed_address_pairs)
    statement = select(*columns).join(PORTS, p.id == belongs.port_id)
    return _rows("members", _member, statement, (belongs.group_id, belongs.port_id))


def _member(row: Values) -> view.Member:
    """A port's allowed address pairs are members as well, as in Neutron; a pair may be a whole network."""
    group_id, port_id, fixed_ips, pairs = row
    ips = {fixed.ip for fixed in _FIXED_IPS.decode(fixed_ips)}
    ips |= {_plain(pair.cidr) for pair in _PAIRS.decode(pairs)}
    return view.Member(group_id, port_id, tuple(sorted(ips)))


def _address_groups() -> _Rows:
    a = ADDRESS_GROUPS.c
    return _rows("members", _addresses, select(a.id, a.addresses), (a.id, a.id))


def _addresses(row: Values) -> view.Member:
    """An address group is its own only member."""
    group_id, addresses = row
    return view.Member(group_id, group_id, tuple(sorted({_plain(cidr) for cidr in _TEXTS.decode(addresses)})))


def _plain(cidr: str) -> str:
    """A single address without its prefix length: written one way, it is one owner."""
    return cidr.removesuffix("/128" if ":" in cidr else "/32")


def _floating_ips() -> _Rows:
    """Where the port behind it, or who holds a virtual address, is active, and where else that is bound."""
    f, active, waiting = FLOATING_IPS.c, PORTS.c.binding_host, PORT_BINDINGS.c.host
    wanted: BindParameter[Any] = bindparam("wanted", expanding=True)
    by_scope, by_id = [], []
    for behind in (f.port_id, f.holder_id):
        there = _floating_statement(behind, active, literal(True))
        besides = _floating_statement(behind, waiting, literal(False))
        besides = besides.join(PORT_BINDINGS, PORT_BINDINGS.c.port_id == PORTS.c.id)
        by_scope += [there.where(active.in_(wanted)), besides.where(waiting.in_(wanted))]
        by_id += [there.where(f.id.in_(wanted)), besides.where(f.id.in_(wanted))]
    return _Rows("host", lambda row: view.FloatingIp(*row), union_all(*by_scope), union_all(*by_id))


def _floating_statement(
    behind: ColumnElement[str], host: ColumnElement[str], active: ColumnElement[bool]
) -> Select[Any]:
    f, outside = FLOATING_IPS.c, PORTS.alias("outside")
    columns = (f.id, host, f.floating_network_id, f.floating_ip_address, outside.c.mac_address)
    return (
        select(*columns, behind, f.fixed_ip_address, f.router_id, OF_FLOATING_IP, active)
        .select_from(FLOATING_IPS)
        .join(PORTS, PORTS.c.id == behind)
        .join(NETWORKS, NETWORKS.c.id == f.floating_network_id)
        .join(outside, outside.c.id == f.floating_port_id)
        .where(*_bound(), f.fixed_ip_address.is_not(None), f.router_id.is_not(None))
    )


def _bound() -> tuple[ColumnElement[bool], ...]:
    return (PORTS.c.binding_host != "", PORTS.c.device_owner.not_in(UNPLUGGED))


_ADDRESS_GROUP: Final = "address_group"
_AMONG: Final = {"leg": "peer"}
"""Kinds that are read with another."""
_ROWS: Final = (
    ("network", _networks()),
    ("subnet", _subnets()),
    ("port", _ports()),
    ("peer", _peers()),
    ("member", _members()),
    (_ADDRESS_GROUP, _address_groups()),
    ("floating_ip", _floating_ips()),
)
"""Kinds, and the objects of one row each; members come from two tables."""
_COMPOSED: Final[dict[str, Callable[[Tx, set[str]], Iterable[view.Object]]]] = {
    "group": composed.security_groups,
    "router": composed.routers,
    "qos": composed.qos_policies,
    "gateways": gateways,
}
"""By kind, those put together from several rows; their scope is called like themselves, but for those below."""
_CALLED: Final = {"gateways": "physnet"}
