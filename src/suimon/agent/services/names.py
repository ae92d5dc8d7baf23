"""The names of a network's ports, as Neutron's `dns_assignment` shows them, and where a question is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address

import msgspec

from suimon.agent.services.dns_message import Code, Kind, Query
from suimon.model.view import Network, Peer, Port, Position
from suimon.pipeline.world import World

_UNNAMED = "host-"


class Names(msgspec.Struct, frozen=True):
    """Of one network, as of one moment."""

    domain: str
    """Without a dot at its end."""
    by_ip: dict[str, str]
    """What the port with an address is called; empty: by its address."""
    by_name: dict[str, list[str]]

    def answer(self, query: Query) -> bytes | None:
        """None when the question is not about this network: others may know."""
        if query.name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._reversed(query)
        host, _, domain = query.name.partition(".")
        if domain and domain != self.domain and query.name not in self.by_name:
            host, domain = query.name.removesuffix(f".{self.domain}"), self.domain
            if host == query.name:
                return None
        addresses = self.by_name.get(query.name) or self.by_name.get(host) or self._unnamed(host)
        if addresses:
            return query.answer(Code.NO_ERROR, [ip for ip in addresses if _kind(ip) == query.kind])
        # A name without a dot is nobody else's business; one in our domain may have been published elsewhere.
        return None if domain else query.answer(Code.NO_SUCH_NAME)

    def _unnamed(self, host: str) -> list[str]:
        """The address that a name like host-10-0-0-5 is made of, if it is a port's."""
        if not host.startswith(_UNNAMED):
            return []
        rest = host.removeprefix(_UNNAMED)
        wanted = (rest.replace("-", "."), rest.replace("-", ":"))
        return [ip for ip in wanted if ip in self.by_ip]

    def _reversed(self, query: Query) -> bytes | None:
        address = _address(query.name)
        if address is None:
            return None
        name = self.by_ip.get(str(address))
        if name is not None:
            full = f"{name or unnamed(str(address))}.{self.domain}".strip(".")
            return query.answer(Code.NO_ERROR, names=[full] if query.kind == Kind.PTR else [])
        # RFC 6303: nobody outside knows a private address.
        return query.answer(Code.NO_SUCH_NAME) if address.is_private else None


class NetworkNames:
    """The names of each network, read anew when the view has changed since, but not more often than `every_s`."""

    def __init__(
        self, world: World, position: Callable[[], Position | None], clock: Callable[[], float], every_s: float = 1.0
    ) -> None:
        self._world = world
        self._position = position
        self._clock = clock
        self._every_s = every_s
        self._read: dict[str, tuple[Names, Position | None, float]] = {}

    def of(self, network_id: str) -> Names | None:
        """None for a network that this host doesn't know."""
        position, now = self._position(), self._clock()
        if found := self._read.get(network_id):
            names, as_of, read_at = found
            if as_of == position or now - read_at < self._every_s:
                return names
        network = self._world.network(network_id)
        if network is None:
            self._read.pop(network_id, None)
            return None
        names = self._now(network)
        self._read[network_id] = (names, position, now)
        return names

    def _now(self, network: Network) -> Names:
        world = self._world
        here = [port for port in map(world.port, world.found("port@network", network.id)) if port]
        there = [peer for peer in map(world.peer, world.found("peer@network", network.id)) if peer]
        return names(network.dns_domain, here, there)


def names(domain: str, ports: Iterable[Port], peers: Iterable[Peer]) -> Names:
    """Of a network with these ports here and elsewhere."""
    domain = domain.strip(".").lower()
    called = [(port.dns_name, [fixed.ip for fixed in port.fixed_ips]) for port in ports]
    called += [(peer.name, list(peer.ips)) for peer in peers]
    by_ip: dict[str, str] = {}
    by_name: dict[str, list[str]] = {}
    for name, ips in called:
        short = name.strip(".").lower().removesuffix(f".{domain}")
        by_ip.update(dict.fromkeys(ips, short))
        if short:
            by_name.setdefault(short, []).extend(ips)
    return Names(domain, by_ip, by_name)


def unnamed(ip: str) -> str:
    """What a port without a name is called, as Neutron calls it."""
    return _UNNAMED + ip.replace(".", "-").replace(":", "-")


def _kind(ip: str) -> Kind:
    return Kind.AAAA if ":" in ip else Kind.A


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """The address that a name under in-addr.arpa or ip6.arpa stands for (RFC 1035, 3.5, RFC 3596, 2.5)."""
    labels = name.split(".")[:-2][::-1]
    try:
        if name.endswith(".in-addr.arpa"):
            return IPv4Address(".".join(labels))
        if len(labels) != 32 or any(len(label) != 1 for label in labels):
            return None
        return IPv6Address(int("".join(labels), 16))
    except ValueError:
        return None
