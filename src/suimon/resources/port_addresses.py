"""Which addresses a port gets: those it asks for, else one of each IP version, and what its guest forms itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, select

from suimon.model import checks
from suimon.model.errors import BadRequest, Conflict
from suimon.model.ranges import Range
from suimon.model.specs.ports import WantedIp
from suimon.model.things import Network, Subnet
from suimon.model.view import FixedIp
from suimon.resources import addresses
from suimon.resources.subnets import SUBNETS, formed_address, holds, is_automatic
from suimon.store.tables import IP_FREE, KEPT, SECURITY_GROUPS
from suimon.store.tables import NETWORKS as NETWORK_TABLE
from suimon.store.tables import SUBNETS as SUBNET_TABLE
from suimon.store.tx import Tx


class Place(msgspec.Struct):
    """A network to put ports on, its subnets in the order of their making, and the first free range of each.

    `default_group` is that of the project that the parameter `owner` named, if it has one.
    """

    network: Network
    subnets: list[Subnet]
    first_ranges: dict[str, Range]
    default_group: str | None = None


class Seat(msgspec.Struct, frozen=True):
    """One port's wish: `wanted` is UNGIVEN when any address will do."""

    mac: str
    wanted: tuple[WantedIp, ...] | msgspec.UnsetType
    forms_own: bool = True
    """Whether a guest is behind it, which forms its own address where the subnet says so. Routers don't."""
    versions: tuple[int, ...] = (4, 6)
    """The IP versions that any address may be of."""
    owner: str = ""
    """The port's device owner: a subnet may be for some owners only (its service types)."""
    kept: tuple[FixedIp, ...] = ()
    """What the port has already and keeps."""


_DHCP: Final = "network:dhcp"
_DEFAULT_GROUP: Final = (
    select(SECURITY_GROUPS.c.id)
    .where(SECURITY_GROUPS.c.project_id == bindparam("owner", ""), SECURITY_GROUPS.c.is_default)
    .scalar_subquery()
)
_FREE_RANGE: Final = addresses.FREE_RANGE.where(IP_FREE.c.subnet_id == SUBNET_TABLE.c.id).scalar_subquery()


def place_statement(visible: ColumnElement[bool]) -> Select[Any]:
    """The select that `places` reads: the networks of the parameter `ids` for which `visible` holds."""
    subnet_columns = (column.label(f"subnet_{column.name}") for column in SUBNET_TABLE.columns)
    return (
        select(*NETWORK_TABLE.columns, *subnet_columns, _DEFAULT_GROUP, _FREE_RANGE)
        .select_from(NETWORK_TABLE.outerjoin(SUBNET_TABLE, SUBNET_TABLE.c.network_id == NETWORK_TABLE.c.id))
        .where(NETWORK_TABLE.c.id.in_(bindparam("ids", expanding=True)), visible)
        .order_by(SUBNET_TABLE.c.created_at, SUBNET_TABLE.c.id)
    )


def places(tx: Tx, statement: Select[Any], values: Mapping[str, object]) -> dict[str, Place]:
    """Network id → place, for the networks that a statement of `place_statement` finds: one statement for all."""
    network_codec, subnet_codec = KEPT[Network].codec, KEPT[Subnet].codec
    width = len(network_codec.fields)
    found: dict[str, Place] = {}
    for row in tx.rows(statement, values):
        if row[0] not in found:
            network = network_codec.decode(row[:width])
            tx.know(network)
            found[row[0]] = Place(network, [], {}, row[-2])
        if row[width] is not None:
            subnet = subnet_codec.decode(row[width:-2])
            tx.know(subnet)
            found[row[0]].subnets.append(subnet)
            if (free := addresses.range_of(row[-1])) is not None:
                found[row[0]].first_ranges[subnet.id] = free
    return found


def choose(tx: Tx, place: Place, seats: Sequence[Seat]) -> list[tuple[FixedIp, ...]]:
    """Addresses for each seat, in their order, taken from the pools. Raises BadRequest, NotFound, Conflict.

    Named addresses are taken before any is chosen, so that no choice takes what another port of the request names.
    """
    chosen: list[list[FixedIp]] = [[] for _ in seats]
    open_wishes: dict[tuple[str, ...], list[int]] = {}
    for n, seat in enumerate(seats):
        for subnets, ip in _wishes(tx, place, seat):
            if ip is not None:
                chosen[n].append(FixedIp(subnets[0].id, ip))
            else:
                open_wishes.setdefault(tuple(subnet.id for subnet in subnets), []).append(n)
    formed = [_formed(place, seat) for seat in seats]
    _take_named(tx, place, [fixed for fixed_ips in (*chosen, *formed) for fixed in fixed_ips])
    for subnet_ids, seats_wishing in open_wishes.items():
        taken = _take_any(tx, place, subnet_ids, len(seats_wishing))
        for n, fixed in zip(seats_wishing, taken, strict=True):
            chosen[n].append(fixed)
    return [(*fixed_ips, *own) for fixed_ips, own in zip(chosen, formed, strict=True)]


def _wishes(tx: Tx, place: Place, seat: Seat) -> Iterator[tuple[list[Subnet], str | None]]:
    """For each address: the subnets it may be of, and which one it is, if it is named."""
    if isinstance(seat.wanted, msgspec.UnsetType):
        usable = _usable(place, seat)
        if place.subnets and not usable:
            raise Conflict(
                f"No valid service subnet for the given device owner, network {place.network.id}, service type "
                f"{seat.owner}.",
                "IpAddressGenerationFailureNoMatchingSubnet",
            )
        for version in seat.versions:
            subnets = [s for s in usable if s.ip_version == version and not is_automatic(s)]
            if subnets:
                yield subnets, None
        return
    for wish in seat.wanted:
        subnet = _subnet_of(tx, place, seat, wish)
        automatic = is_automatic(subnet) and seat.forms_own
        if automatic and wish.ip is not None and wish.ip != formed_address(subnet, seat.mac):
            raise BadRequest(
                f"IPv6 address {wish.ip} cannot be directly assigned to a port on subnet {subnet.id} as the subnet is "
                "configured for automatic addresses",
                "AllocationOnAutoAddressSubnet",
            )
        if not automatic:
            yield [subnet], wish.ip


def _usable(place: Place, seat: Seat) -> list[Subnet]:
    """The subnets whose service types let this port have an address; a DHCP port may wherever there is DHCP."""
    return [
        subnet
        for subnet in place.subnets
        if not subnet.service_types
        or seat.owner in subnet.service_types
        or (seat.owner == _DHCP and subnet.enable_dhcp)
    ]


def _subnet_of(tx: Tx, place: Place, seat: Seat, wish: WantedIp) -> Subnet:
    usable = _usable(place, seat)
    if wish.subnet_id is None:
        assert wish.ip is not None
        for subnet in usable:
            if holds(subnet, wish.ip):
                return subnet
        raise BadRequest(
            f"IP address {wish.ip} is not a valid IP for any of the subnets on the specified network.",
            "InvalidIpForNetwork",
        )
    for subnet in usable:
        if subnet.id == wish.subnet_id:
            if wish.ip is not None and not holds(subnet, wish.ip):
                raise BadRequest(
                    f"IP address {wish.ip} is not a valid IP for the specified subnet.", "InvalidIpForSubnet"
                )
            return subnet
    if tx.get(Subnet, wish.subnet_id) is None:
        raise SUBNETS.missing(wish.subnet_id)
    raise checks.invalid(
        f"Failed to create port on network {place.network.id}, because fixed_ips included invalid subnet "
        f"{wish.subnet_id}"
    )


def _formed(place: Place, seat: Seat) -> list[FixedIp]:
    if not seat.forms_own:
        return []
    there = {fixed.subnet_id for fixed in seat.kept}
    automatic = [s for s in _usable(place, seat) if is_automatic(s) and s.id not in there]
    return [FixedIp(subnet.id, formed_address(subnet, seat.mac)) for subnet in automatic]


def _take_named(tx: Tx, place: Place, named: Sequence[FixedIp]) -> None:
    for subnet in place.subnets:
        ips = [fixed.ip for fixed in named if fixed.subnet_id == subnet.id]
        if len(set(ips)) < len(ips):
            raise addresses.already_allocated(next(ip for ip in ips if ips.count(ip) > 1), subnet.id)
        if ips:
            place.first_ranges.pop(subnet.id, None)
            addresses.take(tx, subnet, ips)


def _take_any(tx: Tx, place: Place, subnet_ids: Sequence[str], count: int) -> list[FixedIp]:
    """From the first subnet that has some left, and from the next if that wasn't enough."""
    taken: list[FixedIp] = []
    for subnet in place.subnets:
        if subnet.id in subnet_ids and len(taken) < count:
            first_range = place.first_ranges.pop(subnet.id, None)
            ips = addresses.take_next(tx, subnet, count - len(taken), first_range)
            taken += [FixedIp(subnet.id, ip) for ip in ips]
    if len(taken) < count:
        raise Conflict(f"No more IP addresses available on network {place.network.id}.", "IpAddressGenerationFailure")
    return taken
