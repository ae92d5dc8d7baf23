"""Virtual addresses: the fixed IPs of ports that are bound to no host, and the port whose guest said last that it has
one (docs/decisions/0041). Floating IPs follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, select

from suimon.model.things import FloatingIp, Port, VirtualAddress
from suimon.model.touches import UNPLUGGED
from suimon.model.view import AddressPair, Claim
from suimon.store.tables import IP_ALLOCATIONS, PORTS, SUBNETS
from suimon.store.tx import Tx

_PAUSE: Final = timedelta(seconds=1)
"""Two guests that quarrel about an address make no more changes than this lets them."""
_MOST_AGE_S: Final = 3600.0
_AT: Final = (
    select(PORTS.c.id)
    .select_from(IP_ALLOCATIONS)
    .join(SUBNETS, SUBNETS.c.id == IP_ALLOCATIONS.c.subnet_id)
    .join(PORTS, PORTS.c.id == IP_ALLOCATIONS.c.port_id)
    .where(
        SUBNETS.c.network_id == bindparam("network_id"),
        IP_ALLOCATIONS.c.ip == bindparam("ip"),
        PORTS.c.binding_host == "",
        PORTS.c.device_owner.not_in(UNPLUGGED),
    )
)


class _Change(NamedTuple):
    before: VirtualAddress | None
    after: VirtualAddress
    holder: Port


def claims_to_note(tx: Tx, host: str, claims: Iterable[Claim]) -> list[Claim]:
    """Those that `note_claims` would write down: of ports of this host that have the pair, about virtual addresses
    that another port holds, or nobody.
    """
    return [claim for claim in claims if _change(tx, host, claim)]


def note_claims(tx: Tx, host: str, claims: Iterable[Claim]) -> None:
    """The port that claimed an address last holds it, but one change a second is all that an address makes."""
    for claim in claims:
        change = _change(tx, host, claim)
        if change is None:
            continue
        if change.before is None:
            tx.insert(change.after)
        else:
            tx.update(change.before, change.after)
            _tell(tx, change.before.holder_id)
        _tell(tx, change.after.holder_id)
        _lead(tx, change.after, change.holder)


def free(tx: Tx, port: Port) -> None:
    """What the port holds, and its own addresses if another holds them: the port is about to go."""
    _free(tx, [*tx.select(VirtualAddress, {"holder_id": port.id}), *tx.select(VirtualAddress, {"port_id": port.id})])


def follow(tx: Tx, before: Port, after: Port) -> None:
    """The port was changed: it may no longer hold what it held, and its addresses may no longer be virtual."""
    if before.allowed_address_pairs and (not after.binding_host or _pairs(before) != _pairs(after)):
        held = tx.select(VirtualAddress, {"holder_id": after.id})
        lost = not after.binding_host
        _free(tx, [each for each in held if lost or AddressPair(each.mac, each.ip) not in _pairs(after)])
    if not before.binding_host and (after.binding_host or before.fixed_ips != after.fixed_ips):
        kept = set() if after.binding_host else {fixed.ip for fixed in after.fixed_ips}
        _free(tx, [each for each in tx.select(VirtualAddress, {"port_id": after.id}) if each.ip not in kept])


def holders(tx: Tx, port_ids: Iterable[str]) -> Mapping[tuple[str, str], Port]:
    """By port and address, who holds it."""
    held = tx.select(VirtualAddress, {"port_id": set(port_ids)})
    ports = {port.id: port for port in tx.select(Port, {"id": {each.holder_id for each in held}})} if held else {}
    return {(each.port_id, each.ip): ports[each.holder_id] for each in held}


def _change(tx: Tx, host: str, claim: Claim) -> _Change | None:
    holder = tx.get(Port, claim.port_id)
    if holder is None or holder.binding_host != host or claim.pair not in _pairs(holder):
        return None
    ip = claim.pair.cidr
    number = ip_address(ip)
    text = f"{int(number):08x}" if number.version == 4 else f"{int(number):032x}"
    found = tx.rows(_AT, {"network_id": holder.network_id, "ip": text})
    if not found or found[0][0] == holder.id:
        return None
    claimed_at = tx.now - timedelta(seconds=min(max(claim.age_s, 0.0), _MOST_AGE_S))
    wanted = {"port_id": str(found[0][0]), "ip": ip}
    after = VirtualAddress(**wanted, holder_id=holder.id, mac=claim.pair.mac, claimed_at=claimed_at)
    before = next(iter(tx.select(VirtualAddress, wanted)), None)
    if before and ((before.holder_id, before.mac) == (after.holder_id, after.mac)):
        return None
    if before and claimed_at - before.claimed_at < _PAUSE:
        return None
    return _Change(before, after, holder)


def _pairs(port: Port) -> set[AddressPair]:
    """The single addresses, as claims name them."""
    singles = ((pair.mac.lower(), pair.single) for pair in port.allowed_address_pairs)
    return {AddressPair(mac, ip) for mac, ip in singles if ip}


def _free(tx: Tx, held: Sequence[VirtualAddress]) -> None:
    for each in held:
        tx.delete(each)
        _tell(tx, each.holder_id)
        _lead(tx, each, None)


def _tell(tx: Tx, holder_id: str) -> None:
    """Its host, and those of its network, look at the port again."""
    holder = tx.get(Port, holder_id)
    if holder is not None and holder.binding_host:
        tx.touch("port", holder.id, f"host:{holder.binding_host}")
        tx.touch("peer", holder.id, f"peers:{holder.network_id}")


def _lead(tx: Tx, virtual: VirtualAddress, holder: Port | None) -> None:
    """Floating IPs of the address to whoever holds it now; they work when that port does."""
    led = {"holder_id": holder.id if holder else None, "status": holder.status if holder else "DOWN"}
    for floating_ip in tx.select(FloatingIp, {"port_id": virtual.port_id, "fixed_ip_address": virtual.ip}):
        tx.update(floating_ip, msgspec.structs.replace(floating_ip, **led))
