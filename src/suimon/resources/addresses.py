"""Who has which address (IPAM): taking and giving back, over the tables `ip_allocations` and `ip_free`.

`ip_free` holds what is left of a subnet's allocation pools as ranges that never touch, so that taking the next address
or a hundred of them costs one look-up and one write. An address is never given twice: the key of `ip_allocations` says
so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from sqlalchemy import and_, bindparam, delete, select, text, update

from suimon.model.errors import Conflict
from suimon.model.ranges import Range, contains, lowest, merged, without
from suimon.model.things import Pool, Subnet
from suimon.model.view import FixedIp
from suimon.resources.outside_addresses import release_given
from suimon.store.columns import digits_of
from suimon.store.errors import Stale, Taken
from suimon.store.tables import IP_ALLOCATIONS, IP_FREE, KEPT, SUBNETS
from suimon.store.tx import Tx

FREE_RANGE: Final = select(IP_FREE.c.first.concat("-").concat(IP_FREE.c.last)).order_by(IP_FREE.c.first).limit(1)
"""The first free range, as `range_of` reads it; to be made a scalar subquery with a condition on the subnet."""
_FIRST_RANGES = (
    select(IP_FREE.c.first, IP_FREE.c.last)
    .where(IP_FREE.c.subnet_id == bindparam("subnet_id"))
    .order_by(IP_FREE.c.first)
    .limit(bindparam("count"))
    .with_for_update()
)
_TOUCHING = (
    IP_FREE.c.subnet_id == bindparam("subnet_id"),
    IP_FREE.c.first <= bindparam("last"),
    IP_FREE.c.last >= bindparam("first"),
)
_RANGES_TOUCHING = select(IP_FREE.c.first, IP_FREE.c.last).where(*_TOUCHING).with_for_update()
_SUBNET_AND_TOUCHING = (
    select(*SUBNETS.columns, IP_FREE.c.first.label("free_first"), IP_FREE.c.last.label("free_last"))
    .select_from(SUBNETS.outerjoin(IP_FREE, and_(*_TOUCHING)))
    .where(SUBNETS.c.id == bindparam("subnet_id"))
    .with_for_update(of=SUBNETS)
)
_SPLIT = text(
    f"INSERT INTO {IP_FREE.name} (subnet_id, first, last) "  # noqa: S608 (only our own name)
    "VALUES (:subnet_id, :first, :middle), (:subnet_id, :next, :last) "
    f"ON CONFLICT (subnet_id, first) DO UPDATE SET last = excluded.last WHERE {IP_FREE.name}.last = :last"
)
"""A range becomes two."""
_SHRINK = (
    update(IP_FREE)
    .where(
        IP_FREE.c.subnet_id == bindparam("old_subnet_id"),
        IP_FREE.c.first == bindparam("old_first"),
        IP_FREE.c.last == bindparam("old_last"),
    )
    .values(first=bindparam("new_first"), last=bindparam("new_last"))
)
_DROP_RANGES = delete(IP_FREE).where(
    IP_FREE.c.subnet_id == bindparam("subnet_id"), IP_FREE.c.first.in_(bindparam("firsts", expanding=True))
)
_DROP_ALL_RANGES = delete(IP_FREE).where(IP_FREE.c.subnet_id == bindparam("subnet_id"))
_HOLDERS = select(IP_ALLOCATIONS.c.ip).where(
    IP_ALLOCATIONS.c.subnet_id == bindparam("subnet_id"), IP_ALLOCATIONS.c.ip.in_(bindparam("ips", expanding=True))
)
_ALL_HELD = select(IP_ALLOCATIONS.c.ip, IP_ALLOCATIONS.c.port_id).where(
    IP_ALLOCATIONS.c.subnet_id == bindparam("subnet_id")
)
_LET_GO = delete(IP_ALLOCATIONS).where(
    IP_ALLOCATIONS.c.subnet_id == bindparam("subnet_id"), IP_ALLOCATIONS.c.ip.in_(bindparam("ips", expanding=True))
)

_LET_ALL_GO = delete(IP_ALLOCATIONS).where(IP_ALLOCATIONS.c.subnet_id == bindparam("subnet_id"))


def open_pools(tx: Tx, subnet: Subnet) -> None:
    """A new subnet: its pools are free."""
    _insert_ranges(tx, subnet, merged(pool_ranges(subnet.allocation_pools)))


def reopen_pools(tx: Tx, subnet: Subnet) -> None:
    """The subnet's pools have changed: what of them nobody has is free."""
    held = [int(ip, 16) for ip, _ in tx.rows(_ALL_HELD, {"subnet_id": subnet.id})]
    tx.run(_DROP_ALL_RANGES, {"subnet_id": subnet.id})
    _insert_ranges(tx, subnet, without(pool_ranges(subnet.allocation_pools), held))


def take_next(tx: Tx, subnet: Subnet, count: int, first_range: Range | None = None) -> list[str]:
    """The lowest free addresses, `count` of them or as many as there are; they are not free any more.

    `first_range` is the first free range where the caller knows it already; it is used if something of it is left then.
    """
    ranges = [first_range] if first_range else []
    if not first_range or first_range[1] - first_range[0] < count:
        ranges = [_range(*row) for row in tx.rows(_FIRST_RANGES, {"subnet_id": subnet.id, "count": count})]
    taken = lowest(ranges, count)
    used = [one for one in ranges if taken and one[0] <= taken[-1]]
    _rewrite(tx, subnet, used, without(used, taken))
    return [str(_address(subnet, number)) for number in taken]


def take(tx: Tx, subnet: Subnet, ips: Collection[str]) -> None:
    """These addresses, inside or outside the pools. Raises Conflict when somebody has one of them."""
    numbers = [int(ip_address(ip)) for ip in ips]
    ranges = _touching(tx, subnet, min(numbers), max(numbers))
    # What is in a free range is free; the rest is somebody's, or outside of the pools.
    others = [_text(subnet, number) for number in numbers if not contains(ranges, number)]
    if others and (held := tx.rows(_HOLDERS, {"subnet_id": subnet.id, "ips": others})):
        raise already_allocated(str(_address(subnet, int(held[0][0], 16))), subnet.id)
    changed = [one for one in ranges if any(contains([one], number) for number in numbers)]
    _rewrite(tx, subnet, changed, without(changed, numbers))


def record(tx: Tx, holders: Iterable[tuple[Subnet, str, str]]) -> None:
    """Write down (subnet, address, port id) for addresses that were taken before. None of them is outside any more."""
    held = list(holders)
    rows = [
        {"subnet_id": subnet.id, "ip": _text(subnet, int(ip_address(ip))), "port_id": port_id}
        for subnet, ip, port_id in held
    ]
    try:
        tx.insert_rows(IP_ALLOCATIONS, rows)
    except Taken as taken:
        raise Stale from taken
    release_given(tx, held)


def give_back(tx: Tx, fixed_ips: Iterable[FixedIp]) -> None:
    """Addresses that ports had. They are free again if they are in a pool."""
    for subnet, numbers in free(tx, fixed_ips):
        tx.run(_LET_GO, {"subnet_id": subnet.id, "ips": [_text(subnet, number) for number in numbers]})


def free(tx: Tx, fixed_ips: Iterable[FixedIp]) -> list[tuple[Subnet, list[int]]]:
    """The same for a port that is deleted right after: what says that it has them goes with it. By subnet."""
    by_subnet: dict[str, list[IPv4Address | IPv6Address]] = {}
    for fixed in fixed_ips:
        by_subnet.setdefault(fixed.subnet_id, []).append(ip_address(fixed.ip))
    freed = []
    for subnet_id, ips in by_subnet.items():
        subnet, ranges = _around(tx, subnet_id, ips)
        pools, numbers = pool_ranges(subnet.allocation_pools), [int(ip) for ip in ips]
        again = [(number, number) for number in numbers if contains(pools, number)]
        _rewrite(tx, subnet, ranges, merged([*ranges, *again]))
        freed.append((subnet, numbers))
    return freed


def give_back_all(tx: Tx, subnet: Subnet) -> None:
    """The subnet goes: nobody has an address of it any more."""
    tx.run(_LET_ALL_GO, {"subnet_id": subnet.id})


def holders(tx: Tx, subnet: Subnet) -> dict[str, str]:
    """Address → port id of everything taken in a subnet."""
    rows = tx.rows(_ALL_HELD, {"subnet_id": subnet.id})
    return {str(_address(subnet, int(ip, 16))): port_id for ip, port_id in rows}


def pool_ranges(pools: Sequence[Pool]) -> list[Range]:
    """Pools as numbers."""
    return [(int(ip_address(pool.start)), int(ip_address(pool.end))) for pool in pools]


def range_of(text: str | None) -> Range | None:
    """What FREE_RANGE selects."""
    return _range(*text.split("-")) if text else None


def already_allocated(ip: str, subnet_id: str) -> Conflict:
    """Neutron's words for an address that somebody has."""
    return Conflict(f"IP address {ip} already allocated in subnet {subnet_id}", "IpAddressAlreadyAllocated")


def _around(tx: Tx, subnet_id: str, ips: Sequence[IPv4Address | IPv6Address]) -> tuple[Subnet, list[Range]]:
    """The addresses' subnet, and the free ranges from right before the first of them to right behind the last."""
    bits = ips[0].max_prefixlen
    first, last = max(int(min(ips)) - 1, 0), min(int(max(ips)) + 1, (1 << bits) - 1)
    values = {"subnet_id": subnet_id, "first": digits_of(first, bits), "last": digits_of(last, bits)}
    rows = tx.rows(_SUBNET_AND_TOUCHING, values)
    subnet: Subnet = KEPT[Subnet].codec.decode(rows[0][:-2])
    return subnet, [_range(*row[-2:]) for row in rows if row[-1] is not None]


def _touching(tx: Tx, subnet: Subnet, first: int, last: int) -> list[Range]:
    network = ip_network(subnet.cidr)
    first, last = max(first, 0), min(last, int(network.broadcast_address) + 1, (1 << network.max_prefixlen) - 1)
    values = {"subnet_id": subnet.id, "first": _text(subnet, first), "last": _text(subnet, last)}
    return [_range(*row) for row in tx.rows(_RANGES_TOUCHING, values)]


def _rewrite(tx: Tx, subnet: Subnet, old: Sequence[Range], new: Sequence[Range]) -> None:
    """Replace free ranges. Raises Stale when another writer had done so already."""
    gone, come = [one for one in old if one not in new], [one for one in new if one not in old]
    if len(gone) == 1 and len(come) == 1:
        values = {"old_first": gone[0][0], "old_last": gone[0][1], "new_first": come[0][0], "new_last": come[0][1]}
        texts = {name: _text(subnet, number) for name, number in values.items()}
        if tx.run(_SHRINK, {"old_subnet_id": subnet.id, **texts}) != 1:
            raise Stale
        return
    if len(gone) == 1 and len(come) == 2 and come[0][0] == gone[0][0]:
        values = {"first": come[0][0], "middle": come[0][1], "next": come[1][0], "last": come[1][1]}
        texts = {name: _text(subnet, number) for name, number in values.items()}
        if tx.run(_SPLIT, {"subnet_id": subnet.id, **texts}) != 2:
            raise Stale
        return
    if gone:
        firsts = [_text(subnet, first) for first, _ in gone]
        if tx.run(_DROP_RANGES, {"subnet_id": subnet.id, "firsts": firsts}) != len(gone):
            raise Stale
    _insert_ranges(tx, subnet, come)


def _insert_ranges(tx: Tx, subnet: Subnet, ranges: Iterable[Range]) -> None:
    tx.insert_rows(
        IP_FREE,
        [
            {"subnet_id": subnet.id, "first": _text(subnet, first), "last": _text(subnet, last)}
            for first, last in ranges
        ],
    )


def _range(first: str, last: str) -> Range:
    return int(first, 16), int(last, 16)


def _text(subnet: Subnet, number: int) -> str:
    return digits_of(number, 32 if subnet.ip_version == 4 else 128)


def _address(subnet: Subnet, number: int) -> IPv4Address | IPv6Address:
    return IPv4Address(number) if subnet.ip_version == 4 else IPv6Address(number)
