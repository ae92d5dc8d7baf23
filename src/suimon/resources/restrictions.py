"""Restrictions: what an operator, or a rule of his, takes from a port, a project, a network or an address for a while.

They are acts like any others: who is bound is told by the change log, and a tenant sees what binds him, but not who
found out, how, or whom it concerns besides. What is over stays as a record until `forget` takes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from sqlalchemy import Select, and_, bindparam, delete, or_, select, union_all

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.specs.restrictions import RESTRICTION
from suimon.model.things import FloatingIp, Network, Port, Restriction, Subnet, Thing
from suimon.resources import incidents, sharing
from suimon.resources.collection import VIEWER, Collection
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require, require_act
from suimon.store.columns import digits_of, time_text
from suimon.store.tables import IP_ALLOCATIONS, KEPT, NETWORKS, PORTS, SUBNET_POOLS, SUBNETS, SUBPORTS, TRUNKS
from suimon.store.tables import RESTRICTIONS as TABLE
from suimon.store.tx import Tx

SPEC: Final = RESTRICTION.governed_by(RULES)
MOST_OF_TARGET: Final = 64
"""In force at a time: each costs every port that it binds some flows."""
MOST_OUTSIDE: Final = 1000
"""Outside addresses at a time: each of them is told to every host with ports."""
MOST_AT_ONCE: Final = 1000
"""Restrictions that one transaction ends."""
_PRIVATE: Final = tuple(
    ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
"""Nobody's outside (RFC 1918, RFC 6598, RFC 4193)."""
_NOT_FOUND: Final = ("RestrictionNotFound", "Restriction {} could not be found.")
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "rate_limit": ("rate_kbps",),
    "packet_rate_limit": ("rate_kpps",),
    "port_block": ("protocol", "port_min", "port_max"),
    "quarantine": (),
}
"""By kind, the fields that it has besides a direction."""
_MINE: Final = select(PORTS.c.network_id).where(PORTS.c.project_id == VIEWER, VIEWER != "")
"""Networks that the viewer has ports on: a restriction of one binds him, whosever it is."""
_CARRYING_MINE: Final = (
    select(TRUNKS.c.port_id)
    .join(SUBPORTS, SUBPORTS.c.trunk_id == TRUNKS.c.id)
    .join(PORTS, PORTS.c.id == SUBPORTS.c.port_id)
    .where(PORTS.c.project_id == VIEWER, VIEWER != "")
)
"""Parents of the trunks that the viewer's ports are in."""


def _appeals(tx: Tx, things: Sequence[Thing]) -> dict[str, dict[str, object]]:
    return {thing.id: {"appeal": tx.settings.appeal} for thing in things}


RESTRICTIONS: Final = Collection(
    spec=SPEC,
    type=Restriction,
    not_found=_NOT_FOUND,
    visible=or_(
        and_(TABLE.c.project_id == VIEWER, TABLE.c.project_id != ""),
        and_(TABLE.c.target_kind == "network", TABLE.c.target.in_(_MINE)),
        and_(TABLE.c.target_kind == "port", TABLE.c.target.in_(_CARRYING_MINE)),
    ),
    attach=_appeals,
    attach_of=(),
)


def create_restrictions(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Restriction]:
    """All or none; `wanted` as `SPEC.for_create` makes it, and of a rule's own `author` and `author_kind`.

    Raises Forbidden, NotFound for a target that there isn't, BadRequest for values that don't go together, and Conflict
    for what belongs to the cloud itself and for too many of one target.
    """
    made = []
    for one in wanted:
        require_act(actor, "create_restriction", SPEC, one, Target(""))
        _require_sound(one)
        target, project_id = _target(tx, one["target_kind"], one["target"])
        made.append(_made(tx, actor, {**one, "target": target, "project_id": project_id}))
    tx.insert_many(made)
    for target_kind, target in {(each.target_kind, each.target) for each in made}:
        _require_few(tx, target_kind, target)
    return made


def release(tx: Tx, actor: Actor, id_: str, why: str) -> Restriction:
    """Now, and not when its time is over; its incident is closed. One that is over already stays as it is.

    Raises NotFound, Forbidden.
    """
    restriction = RESTRICTIONS.find(tx, actor, id_)
    require(actor, "release_restriction", Target(restriction.project_id))
    return _released(tx, actor, restriction, why) if restriction.state == "active" else restriction


def prolong(tx: Tx, actor: Actor, id_: str, until: datetime) -> Restriction:
    """It is in force until then; one whose time was over is again. Raises NotFound, Forbidden, Conflict if released."""
    restriction = RESTRICTIONS.find(tx, actor, id_)
    require(actor, "create_restriction", Target(restriction.project_id))
    if restriction.state == "released":
        raise Conflict(f"Restriction {id_} was released by {restriction.released_by}.")
    return tx.change(restriction, state="active", expires_at=until, released_at=None)


def release_all(tx: Tx, actor: Actor, since: datetime | None, why: str) -> list[Restriction]:
    """Those that were made at that time or later (None: whenever), `MOST_AT_ONCE` of them, the newest first: to be
    called until there are none. Raises Forbidden.
    """
    require(actor, "release_restriction", Target(""))
    values = {"state": "active", "since": time_text(since) if since else "", "most": MOST_AT_ONCE}
    return [_released(tx, actor, each, why) for each in _read(tx, _MADE_SINCE, values)]


def expire(tx: Tx) -> list[Restriction]:
    """Whatever's time is over is no longer in force, `MOST_AT_ONCE` at once. Its hosts have lifted it by then."""
    over = _read(tx, _OVER, {"state": "active", "now": time_text(tx.now), "most": MOST_AT_ONCE})
    expired = [tx.change(each, state="expired", released_at=tx.now) for each in over]
    incidents.close_expired(tx, [each.id for each in expired])
    return expired


def resume(tx: Tx) -> list[Restriction]:
    """What a clock that was ahead has ended before its time is in force again, `MOST_AT_ONCE` at once."""
    early = _read(tx, _EARLY, {"state": "expired", "now": time_text(tx.now), "most": MOST_AT_ONCE})
    resumed = [tx.change(each, state="active", released_at=None) for each in early]
    incidents.resume(tx, [each.id for each in resumed])
    return resumed


def due(tx: Tx) -> bool:
    """Whether `expire` or `resume` have something to do."""
    return bool(tx.rows(_DUE, {"now": time_text(tx.now)}))


def forget(tx: Tx, before: datetime) -> int:
    """Take away the records of what was over before that time; how many."""
    return tx.run(_FORGET, {"state": "active", "before": time_text(before)})


def _made(tx: Tx, actor: Actor, one: Mapping[str, Any]) -> Restriction:
    values = {name: value for name, value in one.items() if name != "duration_s"}
    values.setdefault("author", actor.user_id)
    if one["kind"] == "port_block" and one.get("port_max") is None:
        values["port_max"] = one.get("port_min")
    lasts_s = one.get("duration_s")
    return Restriction(
        id=new_id(),
        created_at=tx.now,
        updated_at=tx.now,
        expires_at=None if lasts_s is None else tx.now + timedelta(seconds=lasts_s),
        allowed=tx.settings.quarantine_allows if one["kind"] == "quarantine" else (),
        **values,
    )


def _released(tx: Tx, actor: Actor, restriction: Restriction, why: str) -> Restriction:
    ended = {"state": "released", "released_at": tx.now, "released_by": actor.user_id, "release_reason": why}
    after = tx.change(restriction, **ended)
    incidents.close_released(tx, after)
    return after


def _require_sound(one: Mapping[str, Any]) -> None:
    """Raises BadRequest."""
    kind, outside = one["kind"], one["target_kind"] == "outside_address"
    if one.get("author_kind") == "rule" and one.get("duration_s") is None:
        raise BadRequest("What a rule does has an end: it needs its duration_s.")
    for name in ("rate_kbps", "rate_kpps", "protocol", "port_min", "port_max"):
        if one.get(name) is not None and (outside or name not in _VALUES[kind]):
            raise BadRequest(f"A {kind} of {_words(one['target_kind'])} has no {name}.")
    if one.get("direction") is not None and (outside or kind == "quarantine"):
        raise BadRequest(f"A {kind} of {_words(one['target_kind'])} is for both directions.")
    if outside:
        if kind != "port_block":
            raise BadRequest("An outside address can be blocked (port_block), and nothing else.")
        return
    for name in _VALUES[kind]:
        if one.get(name) is None and name != "port_max":
            raise BadRequest(f"A {kind} needs its {name}.")
    if kind == "port_block" and one.get("port_max") is not None and one["port_max"] < one["port_min"]:
        raise BadRequest("port_max is below port_min.")


def _target(tx: Tx, kind: str, target: str) -> tuple[str, str]:
    """The target as it is kept, and whose it is. Raises NotFound, BadRequest, Conflict."""
    match kind:
        case "port":
            port = tx.get(Port, target)
            if port is None:
                raise NotFound(f"Port {target} could not be found.", "PortNotFound")
            if port.infrastructure:
                raise Conflict(f"Port {target} is the cloud's own ({port.device_owner}): it can't be restricted.")
            return port.id, port.project_id
        case "network":
            network = tx.get(Network, target)
            if network is None:
                raise NotFound(f"Network {target} could not be found.", "NetworkNotFound")
            return network.id, network.project_id
        case "project":
            if not target or not any(tx.rows(each, {"project": target}) for each in _OF_PROJECT):
                raise NotFound(f"Project {target} has no port and no network.", "ProjectNotFound")
            return target, target
        case "address":
            return _address(tx, _parsed(target))
        case _:
            return _outside(tx, _parsed(target)), ""


def _parsed(target: str) -> str:
    try:
        return str(checks.parse_address(target))
    except checks.Unfit as unfit:
        raise BadRequest(f"Invalid input for target. Reason: {unfit}.") from None


def _address(tx: Tx, address: str) -> tuple[str, str]:
    """A floating IP, or the fixed IP of one project's ports: it binds whichever port of the project has it."""
    projects = {each.project_id for each in tx.select(FloatingIp, {"floating_ip_address": address})}
    if not projects:
        rows = tx.rows(_HAVING, {"ip": _kept_as(address)})
        projects = {str(project_id) for project_id, infrastructure, _ in rows if not infrastructure}
        if rows and not projects:
            raise Conflict(f"The address {address} is the cloud's own: it can't be restricted.")
    if not projects:
        raise NotFound(f"No port and no floating IP has the address {address}.", "AddressNotFound")
    if len(projects) > 1:
        raise Conflict(f"Several projects have the address {address}, each on networks of its own: name the port.")
    return address, projects.pop()


def _outside(tx: Tx, address: str) -> str:
    """Raises BadRequest for an address that the cloud's own packets may have: it would be cut everywhere.

    Every project may number its networks by private ranges. A public address is the cloud's when operators hand it
    out: whoever takes somebody else's for a network of his own protects nobody by that.
    """
    ip = ip_address(address)
    if ip.is_multicast or ip.is_unspecified or ip.is_loopback or ip.is_link_local:
        raise BadRequest(f"{address} is no address of a host outside.")
    for cidr, subnet_id, external in tx.rows(_SUBNETS, {}):
        network = ip_network(str(cidr))
        if network.version == ip.version and ip in network and not external and _is_ours(tx, ip, str(subnet_id)):
            raise BadRequest(f"{address} is inside of the cloud: it is on the subnet {cidr} of a network of its own.")
    if any(_is_ours(tx, ip, str(row[2])) for row in tx.rows(_HAVING, {"ip": _kept_as(address)})):
        raise BadRequest(f"{address} is an address of the cloud, not one outside.")
    return address


def _is_ours(tx: Tx, ip: IPv4Address | IPv6Address, subnet_id: str) -> bool:
    if any(ip.version == each.version and ip in each for each in _PRIVATE):
        return True
    subnet = tx.get(Subnet, subnet_id)
    return subnet is not None and is_handed_out(tx, subnet)


def is_handed_out(tx: Tx, subnet: Subnet) -> bool:
    """Whether operators give its addresses to others: it is of an external network, of a network or subnet pool that is
    shared with everybody, or routed as it is to an external network, by an address scope.
    """
    network = tx.get(Network, subnet.network_id)
    shared = (sharing.shared_with(tx, id_) for id_ in (subnet.network_id, subnet.subnetpool_id) if id_)
    if (network is not None and network.external) or any(sharing.EVERYBODY in each for each in shared):
        return True
    return bool(subnet.subnetpool_id and tx.rows(_ROUTED_OUTSIDE, {"pool": subnet.subnetpool_id}))


def _require_few(tx: Tx, kind: str, target: str) -> None:
    """Raises Conflict."""
    outside = kind == "outside_address"
    where = {"state": "active", "target_kind": kind} | ({} if outside else {"target": target})
    most = MOST_OUTSIDE if outside else MOST_OF_TARGET
    if len(tx.select(Restriction, where, limit=most + 1)) > most:
        whose = "of outside addresses" if outside else f"of {_words(kind)} {target}"
        raise Conflict(f"More than {most} restrictions {whose} would be in force at a time.")


def _words(target_kind: str) -> str:
    return {"address": "an address", "outside_address": "an outside address"}.get(target_kind, f"a {target_kind}")


def _kept_as(address: str) -> str:
    ip = ip_address(address)
    return digits_of(int(ip), ip.max_prefixlen)


def _read(tx: Tx, statement: Select[Any], values: Mapping[str, object]) -> list[Restriction]:
    codec = KEPT[Restriction].codec
    return [codec.decode(row) for row in tx.rows(statement, values)]


_IN_STATE: Final = TABLE.c.state == bindparam("state")
_MADE_SINCE: Final = (
    select(*TABLE.columns)
    .where(_IN_STATE, TABLE.c.created_at >= bindparam("since"))
    .order_by(TABLE.c.created_at.desc(), TABLE.c.id)
    .limit(bindparam("most"))
)
_OVER: Final = (
    select(*TABLE.columns)
    .where(_IN_STATE, TABLE.c.expires_at <= bindparam("now"))
    .order_by(TABLE.c.expires_at, TABLE.c.id)
    .limit(bindparam("most"))
)
_EARLY: Final = (
    select(*TABLE.columns)
    .where(_IN_STATE, TABLE.c.expires_at > bindparam("now"))
    .order_by(TABLE.c.id)
    .limit(bindparam("most"))
)
_DUE: Final = union_all(
    select(TABLE.c.id).where(TABLE.c.state == "active", TABLE.c.expires_at <= bindparam("now")),
    select(TABLE.c.id).where(TABLE.c.state == "expired", TABLE.c.expires_at > bindparam("now")),
).limit(1)
_FORGET: Final = delete(TABLE).where(TABLE.c.state != bindparam("state"), TABLE.c.released_at < bindparam("before"))
_OF_PROJECT: Final = tuple(
    select(each.c.id).where(each.c.project_id == bindparam("project")).limit(1) for each in (PORTS, NETWORKS)
)
_HAVING: Final = (
    select(PORTS.c.project_id, PORTS.c.infrastructure, IP_ALLOCATIONS.c.subnet_id)
    .join(IP_ALLOCATIONS, IP_ALLOCATIONS.c.port_id == PORTS.c.id)
    .where(IP_ALLOCATIONS.c.ip == bindparam("ip"))
)
_SUBNETS: Final = select(SUBNETS.c.cidr, SUBNETS.c.id, NETWORKS.c.external).join(
    NETWORKS, NETWORKS.c.id == SUBNETS.c.network_id
)
_OUTER_POOLS: Final = SUBNET_POOLS.alias("outer_pools")
_ROUTED_OUTSIDE: Final = (
    select(SUBNET_POOLS.c.id)
    .join(_OUTER_POOLS, _OUTER_POOLS.c.address_scope_id == SUBNET_POOLS.c.address_scope_id)
    .join(SUBNETS, SUBNETS.c.subnetpool_id == _OUTER_POOLS.c.id)
    .join(NETWORKS, NETWORKS.c.id == SUBNETS.c.network_id)
    .where(SUBNET_POOLS.c.id == bindparam("pool"), NETWORKS.c.external)
    .limit(1)
)
"""The pool, if a subnet of an external network is of its address scope."""
