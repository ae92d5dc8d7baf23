"""Which hosts lead a router out: a pure function of the router and of the hosts that could.

Rendezvous hashing: each pair of router and host has a weight of its own, and the heaviest hosts are chosen. Everybody
who knows the candidates comes to the same answer without a scheduler's memory, and a host that comes or goes moves only
the routers that it takes or had.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from suimon.model.view import GatewayHost

RANKS: Final = 2
"""How many hosts stand ready for a router: the first that serves is active."""


@lru_cache(maxsize=65536)
def ranked(router_id: str, candidates: tuple[GatewayHost, ...]) -> tuple[GatewayHost, ...]:
    """The hosts of a router, the first choice first; fewer than `RANKS` if there are no more.

    One that is silent may be dead, or only its agent is: it keeps its place, and behind it there are as many that are
    not, so that two that die together leave nobody without a way out. Of drained hosts those stand by that would be
    among the first otherwise, behind the others: nothing that a router has on a host ends because the host is drained.
    """
    order = sorted(candidates, key=lambda each: _weight(router_id, each.host), reverse=True)
    undrained = [each for each in order if not each.drained]
    chosen = {*undrained[:RANKS], *[each for each in undrained if not each.silent][:RANKS]}
    return (*(each for each in order if each in chosen), *(each for each in order[:RANKS] if each.drained))


def candidates(
    hosts: Iterable[tuple[str, str | None]], drained: Container[str] = (), silent: Container[str] = ()
) -> tuple[GatewayHost, ...]:
    """Of (name, tunnel address) those that can be reached by tunnels, in one order."""
    return tuple(sorted(GatewayHost(host, vtep, host in drained, host in silent) for host, vtep in hosts if vtep))


def _weight(router_id: str, host: str) -> bytes:
    return blake2b(f"{router_id}/{host}".encode(), digest_size=8).digest()
