"""Which addresses are inside for a port, as for metering: those of its network, and of the legs of its routers
(docs/decisions/0044). What another project has is outside, whatever he calls his subnets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final

from sqlalchemy import bindparam, select

from suimon.model.touches import ROUTER_INTERFACE
from suimon.store.tables import IP_ALLOCATIONS, PORTS, SUBNETS
from suimon.store.tx import Tx

_MOST_READ: Final = 10_000
"""Ports in one statement, which has a parameter for each."""
_PORTS: Final = select(PORTS.c.id, PORTS.c.network_id).where(PORTS.c.id.in_(bindparam("ids", expanding=True)))
_SUBNETS: Final = select(SUBNETS.c.network_id, SUBNETS.c.cidr)
_LEGS: Final = (
    select(PORTS.c.device_id, PORTS.c.network_id, SUBNETS.c.cidr)
    .join(IP_ALLOCATIONS, IP_ALLOCATIONS.c.port_id == PORTS.c.id)
    .join(SUBNETS, SUBNETS.c.id == IP_ALLOCATIONS.c.subnet_id)
    .where(PORTS.c.device_owner == bindparam("interface"))
)
_LINK: Final = ("169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "fe80::/10", "ff00::/8")
"""What stays on its link (RFC 3927, RFC 4291)."""
_Range = tuple[int, int, int]
"""IP version, first, last."""


class Insides:
    """Of some ports, as they are now. Of one that is no more, nothing but its link is inside."""

    def __init__(self, tx: Tx, port_ids: Iterable[str]) -> None:
        ids = sorted({*port_ids})
        self._networks: dict[str, str] = {}
        for start in range(0, len(ids), _MOST_READ):
            rows = tx.rows(_PORTS, {"ids": ids[start : start + _MOST_READ]})
            self._networks |= {str(row[0]): str(row[1]) for row in rows}
        self._link = {*map(_range, _LINK)}
        cidrs: dict[str, set[str]] = defaultdict(set)
        for network_id, cidr in tx.rows(_SUBNETS, {}):
            cidrs[str(network_id)].add(str(cidr))
        behind: dict[str, set[str]] = defaultdict(set)
        routers: dict[str, set[str]] = defaultdict(set)
        for router_id, network_id, cidr in tx.rows(_LEGS, {"interface": ROUTER_INTERFACE}):
            behind[str(router_id)].add(str(cidr))
            routers[str(network_id)].add(str(router_id))
        self._ranges = {
            network_id: {*map(_range, cidrs[network_id].union(*(behind[each] for each in routers[network_id])))}
            for network_id in {*self._networks.values()}
        }

    def outside(self, port_id: str, address: str) -> bool:
        """Whether it is none of these; an address that isn't known is. Raises ValueError for what is no address."""
        if not address:
            return True
        parsed = ip_address(address)
        number = int(parsed)
        ranges = self._ranges.get(self._networks.get(port_id, ""), set()) | self._link
        return not any(version == parsed.version and first <= number <= last for version, first, last in ranges)


def _range(cidr: str) -> _Range:
    network = ip_network(cidr)
    return network.version, int(network.network_address), int(network.broadcast_address)
