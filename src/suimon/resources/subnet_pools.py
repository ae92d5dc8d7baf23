"""Subnet pools: prefixes that projects cut their subnets from, each at most once.

What of a pool is taken follows from the subnets that name it; writes come one after the other, so that two never see
the same prefix free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, select

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.checks import Unfit
from suimon.model.errors import BadRequest, Conflict
from suimon.model.ranges import Range, outside
from suimon.model.specs.subnet_pools import MAX_PREFIXES, SUBNET_POOL, merged, prefixes
from suimon.model.things import AddressScope, Subnet, SubnetPool
from suimon.resources import sharing
from suimon.resources.address_scopes import ADDRESS_SCOPES
from suimon.resources.collection import Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import RULES, require, require_act
from suimon.resources.resource import Asked
from suimon.store.tables import SUBNET_POOLS as TABLE
from suimon.store.tables import SUBNETS
from suimon.store.tx import Tx

Cidr = IPv4Network | IPv6Network
SPEC: Final = SUBNET_POOL.governed_by(RULES)
KIND: Final = "subnetpool"
SUBNET_POOLS: Final = Collection(
    spec=SPEC,
    type=SubnetPool,
    not_found=("SubnetPoolNotFound", "Subnet pool {} could not be found."),
    visible=sharing.visible(KIND, TABLE),
    extras=(sharing.shared_extra(KIND, TABLE),),
    special={"shared": lambda texts: sharing.by_shared(KIND, TABLE, texts)},
)
_PREFIXES: Final = checks.having({"prefixes": checks.schema_of(prefixes)}, "prefixes")
_BITS: Final = {4: 32, 6: 128}
_LEAST: Final = {4: 8, 6: 64}
"""The shortest prefix to be cut from a pool that doesn't say."""
_QUOTA_BITS: Final = {4: 0, 6: 64}
"""A quota counts addresses, in IPv6 prefixes of 64 bits."""
_TAKEN: Final = select(SUBNETS.c.cidr, SUBNETS.c.project_id).where(SUBNETS.c.subnetpool_id == bindparam("pool_id"))


def create_subnet_pools(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[SubnetPool]:
    """All or none. Raises Forbidden, NotFound for the address scope, BadRequest, Conflict."""
    return [_create(tx, actor, one) for one in wanted]


def update_subnet_pool(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> SubnetPool:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest, Conflict."""
    pool = SUBNET_POOLS.find(tx, actor, id_)
    require_act(actor, "update_subnetpool", SPEC, wanted, Target(pool.project_id))
    require_revision(pool, expected_revision)
    return _change(tx, actor, pool, wanted) if wanted else pool


def delete_subnet_pool(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest while a subnet is from it."""
    pool = SUBNET_POOLS.find(tx, actor, id_)
    require_act(actor, "delete_subnetpool", SPEC, {}, Target(pool.project_id))
    require_revision(pool, expected_revision)
    if tx.select(Subnet, {"subnetpool_id": id_}, limit=1):
        raise BadRequest("Unable to delete subnet pool: Subnet pool has existing allocations.", "SubnetPoolDeleteError")
    sharing.forget(tx, id_)
    tx.delete(pool)


@checks.takes(_PREFIXES)
def add_prefixes(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """`{"prefixes": […]}` → all prefixes of the pool after it. Raises as an update does."""
    pool, given = _asked(tx, actor, id_, body, "add_prefixes")
    return {"prefixes": list(_change(tx, actor, pool, {"prefixes": merged([*pool.prefixes, *given])}).prefixes)}


@checks.takes(_PREFIXES)
def remove_prefixes(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """`{"prefixes": […]}` → what is left. Raises BadRequest when a subnet is in one of them, or none would be left."""
    pool, given = _asked(tx, actor, id_, body, "remove_prefixes")
    gone = [_numbers(text) for text in given if ip_network(text).version == pool.ip_version]
    before = [_numbers(text) for text in pool.prefixes]
    if outside(before, gone) == outside(before, []):
        return {"prefixes": list(pool.prefixes)}
    taken = [_numbers(cidr) for cidr, _ in tx.rows(_TAKEN, {"pool_id": id_})]
    if outside(taken, gone) != outside(taken, []):
        raise _no_update("One or more the prefixes to be removed is in use by a subnet.")
    left = [str(_network(pool, *block)) for free in outside(before, gone) for block in _blocks(*free)]
    return {"prefixes": list(tx.change(pool, prefixes=_few(left)).prefixes)}


@checks.takes(checks.having({"network_id": checks.schema_of(checks.uuid)}, "network_id"))
def onboard_network_subnets(tx: Tx, actor: Actor, asked: Asked) -> object:
    """`{"network_id": …}`: the network's subnets of the pool's IP version become the pool's, and their prefixes with
    them → [{id, cidr}]. Raises NotFound, Forbidden, BadRequest, Conflict.
    """
    pool = SUBNET_POOLS.find(tx, actor, asked.ids[0])
    require(actor, "onboard_network_subnets", Target(pool.project_id))
    network_id = asked.body.get("network_id") if isinstance(asked.body, dict) else None
    if not isinstance(network_id, str):
        raise checks.invalid("network_id must be specified")
    network = NETWORKS.find(tx, actor, network_id)
    require(actor, "onboard_network_subnets", Target(network.project_id))
    subnets = tx.select(Subnet, {"network_id": network_id, "ip_version": pool.ip_version})
    taken = [_numbers(cidr) for cidr, _ in tx.rows(_TAKEN, {"pool_id": pool.id})]
    for subnet in subnets:
        if outside([_numbers(subnet.cidr)], taken) != [_numbers(subnet.cidr)]:
            raise BadRequest(
                f"Illegal subnetpool update : Onboarding subnet {subnet.id}: {subnet.cidr} conflicts with allocated "
                f"prefixes in subnet pool {pool.id}.",
                "IllegalSubnetPoolUpdate",
            )
    # The pool takes the subnets before its scope is looked at: those that come with it don't stay outside of it.
    changed = [tx.change(subnet, subnetpool_id=pool.id) for subnet in subnets]
    if subnets:
        _change(tx, actor, pool, {"prefixes": merged([*pool.prefixes, *(subnet.cidr for subnet in subnets)])})
    return [{"id": subnet.id, "cidr": subnet.cidr} for subnet in changed]


def pool_for(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> SubnetPool | None:
    """The pool that a subnet is to be from, if any. Raises NotFound, BadRequest."""
    if not wanted["use_default_subnetpool"]:
        id_ = wanted["subnetpool_id"]
        return SUBNET_POOLS.find(tx, actor, id_) if id_ is not None else None
    if wanted["subnetpool_id"] is not None:
        raise _bad_subnet("subnetpool_id and use_default_subnetpool cannot both be specified")
    found = tx.select(SubnetPool, {"is_default": True, "ip_version": wanted["ip_version"]})
    if not found:
        raise _bad_subnet(f"No default subnetpool found for IPv{wanted['ip_version']}")
    return found[0]


def cut(tx: Tx, pool: SubnetPool, wanted: Mapping[str, Any]) -> Cidr:
    """The prefix of a new subnet: the `cidr` wanted, the one around the gateway wanted, or any of the length wanted.

    Raises BadRequest for lengths that the pool doesn't give, Conflict over the quota and when none is left.
    """
    if wanted["ip_version"] != pool.ip_version:
        raise _bad_subnet(f"Cannot allocate IPv{wanted['ip_version']} subnet from IPv{pool.ip_version} subnet pool")
    if wanted.get("cidr") is None and wanted.get("allocation_pools") is not None:
        raise _bad_subnet("allocation_pools allowed only for specific subnet requests")
    cidr = _named(pool, wanted)
    prefixlen = cidr.prefixlen if cidr else wanted.get("prefixlen", pool.default_prefixlen)
    _require_length(pool, prefixlen)
    rows = tx.rows(_TAKEN, {"pool_id": pool.id})
    _require_quota(pool, prefixlen, [cidr for cidr, project_id in rows if project_id == wanted["project_id"]])
    free = outside([_numbers(text) for text in pool.prefixes], [_numbers(cidr) for cidr, _ in rows])
    if cidr is not None:
        if outside([_numbers(str(cidr))], free):
            raise _none_left("Cannot allocate requested subnet from the available set of prefixes")
        return cidr
    size = 1 << (_BITS[pool.ip_version] - prefixlen)
    fitting = [block for one in free for block in _blocks(*one) if block[1] >= size]
    if not fitting:
        raise _none_left(f"Insufficient prefix space to allocate subnet size /{prefixlen}")
    # The smallest that is large enough, so that large ones stay whole.
    return _network(pool, min(fitting, key=lambda block: (block[1], block[0]))[0], size)


def require_affinity(tx: Tx, subnets: Sequence[Subnet], pool: SubnetPool | None) -> None:
    """The new subnet's neighbours of its IP version are from the same pool or, if they are in an address scope, from
    one of that scope. Raises BadRequest.
    """
    pooled = {subnet.subnetpool_id for subnet in subnets if subnet.subnetpool_id}
    scopes = {one.address_scope_id for one in tx.select(SubnetPool, {"id": pooled})} - {None} if pooled else set()
    if pool and scopes and pool.address_scope_id not in scopes:
        raise _scattered()
    if (pool and not scopes and any(subnet.subnetpool_id != pool.id for subnet in subnets)) or (not pool and pooled):
        raise BadRequest(
            "Subnets hosted on the same network must be allocated from the same subnet pool.",
            "NetworkSubnetPoolAffinityError",
        )


def _create(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> SubnetPool:
    require_act(actor, "create_subnetpool", SPEC, wanted, Target(wanted["project_id"]))
    values = {name: value for name, value in wanted.items() if name != "shared"}
    version = ip_network(values["prefixes"][0]).version
    values.setdefault("min_prefixlen", _LEAST[version])
    values.setdefault("max_prefixlen", _BITS[version])
    values.setdefault("default_prefixlen", values["min_prefixlen"])
    pool = SubnetPool(id=new_id(), created_at=tx.now, updated_at=tx.now, ip_version=version, **values)
    _require_sound(tx, actor, pool)
    tx.insert(pool)
    if wanted["shared"]:
        sharing.share_with_all(tx, KIND, pool)
    return pool


def _change(tx: Tx, actor: Actor, pool: SubnetPool, wanted: Mapping[str, Any]) -> SubnetPool:
    if pool.address_scope_id:
        scope = ADDRESS_SCOPES.find(tx, actor, pool.address_scope_id)
        if not actor.admin and scope.project_id != actor.project_id:
            raise BadRequest(
                f"Illegal subnetpool update : subnetpool {pool.id} cannot be updated when associated with shared "
                f"address scope {scope.id}.",
                "IllegalSubnetPoolUpdate",
            )
    if "prefixes" in wanted:
        versions = {ip_network(text).version for text in wanted["prefixes"]}
        if versions != {pool.ip_version}:
            raise BadRequest("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", "PrefixVersionMismatch")
        if outside(map(_numbers, pool.prefixes), map(_numbers, wanted["prefixes"])):
            raise _no_update("Existing prefixes must be a subset of the new prefixes")
    _require_sound(tx, actor, msgspec.structs.replace(pool, **wanted), pool)
    return tx.change(pool, **wanted)


def _require_sound(tx: Tx, actor: Actor, pool: SubnetPool, before: SubnetPool | None = None) -> None:
    """Raises BadRequest, Conflict, NotFound for the address scope."""
    _few(pool.prefixes)
    for name, value, limit, bound, fits in (
        ("min_prefixlen", pool.min_prefixlen, "max_prefixlen", pool.max_prefixlen, int.__le__),
        ("max_prefixlen", pool.max_prefixlen, "ip_version_max", _BITS[pool.ip_version], int.__le__),
        ("default_prefixlen", pool.default_prefixlen, "min_prefixlen", pool.min_prefixlen, int.__ge__),
        ("default_prefixlen", pool.default_prefixlen, "max_prefixlen", pool.max_prefixlen, int.__le__),
    ):
        if not fits(value, bound):
            raise BadRequest(
                f"Illegal prefix bounds: {name}={value}, {limit}={bound}.", "IllegalSubnetPoolPrefixBounds"
            )
    was_default = before is not None and before.is_default
    new_default = {"is_default": True, "ip_version": pool.ip_version} if pool.is_default and not was_default else None
    if new_default and tx.select(SubnetPool, new_default):
        raise checks.invalid(
            "A default subnetpool for this IP family has already been set. Only one default may exist per IP family"
        )
    if pool.address_scope_id is not None:
        _require_scope(tx, ADDRESS_SCOPES.find(tx, actor, pool.address_scope_id), pool)


def _require_scope(tx: Tx, scope: AddressScope, pool: SubnetPool) -> None:
    """The pool may be in the scope: of its IP version, clear of its other pools, and no network half inside of it."""
    if scope.ip_version != pool.ip_version:
        raise BadRequest(
            f"Illegal subnetpool association: subnetpool {pool.id} cannot associate with address scope {scope.id} "
            f"because subnetpool ip_version is not {scope.ip_version}.",
            "IllegalSubnetPoolIpVersionAssociationToAddressScope",
        )
    networks = {subnet.network_id for subnet in tx.select(Subnet, {"subnetpool_id": pool.id})}
    beside = tx.select(Subnet, {"network_id": networks, "ip_version": pool.ip_version}) if networks else []
    if any(subnet.subnetpool_id != pool.id for subnet in beside):
        raise _scattered()
    mine = [_numbers(text) for text in pool.prefixes]
    others = [one for one in tx.select(SubnetPool, {"address_scope_id": scope.id}) if one.id != pool.id]
    if outside(mine, [_numbers(text) for other in others for text in other.prefixes]) != outside(mine, []):
        raise Conflict(
            "Failed to associate address scope: subnetpools within an address scope must have unique prefixes.",
            "AddressScopePrefixConflict",
        )


def _asked(tx: Tx, actor: Actor, id_: str, body: object, act: str) -> tuple[SubnetPool, list[str]]:
    pool = SUBNET_POOLS.find(tx, actor, id_)
    require(actor, act, Target(pool.project_id))
    given = body.get("prefixes") if isinstance(body, dict) else None
    if not isinstance(given, list) or not given or len(given) > MAX_PREFIXES:
        raise BadRequest("Request body contains invalid data")
    try:
        return pool, [str(checks.parse_cidr(text)) for text in given]
    except Unfit as unfit:
        raise BadRequest(f"Invalid input for prefixes. Reason: {unfit}.") from None


def _few(texts: Sequence[str]) -> tuple[str, ...]:
    if len(texts) > MAX_PREFIXES:
        raise _no_update(f"{MAX_PREFIXES} prefixes at most can be in a subnet pool")
    return merged(list(texts))


def _named(pool: SubnetPool, wanted: Mapping[str, Any]) -> Cidr | None:
    if wanted.get("cidr") is not None:
        return ip_network(wanted["cidr"])
    gateway = wanted.get("gateway_ip")
    if gateway is None or ip_network(gateway).version != pool.ip_version:
        return None
    length = min(wanted.get("prefixlen", pool.default_prefixlen), _BITS[pool.ip_version])
    return ip_network(f"{gateway}/{length}", strict=False)


def _require_length(pool: SubnetPool, prefixlen: int) -> None:
    for kind, words, bound, refused in (
        ("Max", "maximum", pool.max_prefixlen, prefixlen > pool.max_prefixlen),
        ("Min", "minimum", pool.min_prefixlen, prefixlen < pool.min_prefixlen),
    ):
        if refused:
            raise BadRequest(
                f"Unable to allocate subnet with prefix length {prefixlen}, {words} allowed prefix is {bound}.",
                f"{kind}PrefixSubnetAllocationError",
            )


def _require_quota(pool: SubnetPool, prefixlen: int, own: Sequence[str]) -> None:
    if not pool.default_quota:
        return
    lengths = [prefixlen, *(ip_network(cidr).prefixlen for cidr in own)]
    addresses = sum(1 << (_BITS[pool.ip_version] - length) for length in lengths)
    if addresses > pool.default_quota << _QUOTA_BITS[pool.ip_version]:
        raise Conflict("Per-project subnet pool prefix quota exceeded.", "SubnetPoolQuotaExceeded")


def _numbers(cidr: str) -> Range:
    network = ip_network(cidr)
    return int(network.network_address), int(network.broadcast_address)


def _blocks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """A range as prefixes: (first address, how many)."""
    while first <= last:
        size = first & -first or 1 << (last - first + 1).bit_length()
        while first + size - 1 > last:
            size >>= 1
        yield first, size
        first += size


def _network(pool: SubnetPool, first: int, size: int) -> Cidr:
    length = _BITS[pool.ip_version] - (size.bit_length() - 1)
    return IPv4Network((first, length)) if pool.ip_version == 4 else IPv6Network((first, length))


def _bad_subnet(words: str) -> BadRequest:
    return BadRequest(f"Bad subnets request: {words}.", "BadRequest")


def _no_update(words: str) -> BadRequest:
    return BadRequest(f"Illegal update to prefixes: {words}.", "IllegalSubnetPoolPrefixUpdate")


def _none_left(words: str) -> Conflict:
    return Conflict(f"Failed to allocate subnet: {words}.", "SubnetAllocationError")


def _scattered() -> BadRequest:
    return BadRequest(
        "Subnets of the same address family hosted on the same network must all participate in the same address scope.",
        "NetworkAddressScopeAffinityError",
    )
