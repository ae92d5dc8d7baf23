"""Several routes to one destination (RFC 2992): a router's packets are spread over their next hops by a hash of the
5-tuple, so that a connection stays on one way as long as the ways are the same.

The hash is the datapath's own (`dp_hash`, ovs-ofctl(8), selection_method), which the kernel's and userspace's have
alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.flow import Action, Bucket, Goto, Group, Resubmit, UseGroup
from suimon.pipeline.lookup import further_group
from suimon.pipeline.program import Part


def extra_routes(facts: Facts, router: view.Router) -> list[view.Route]:
    """The router's extra routes by next hop, but for those to a subnet that it is on: there it leads directly."""
    outside = facts.found("subnet@network", router.gateway.network_id) if router.gateway else ()
    on_link = {leg.cidr for leg in router.interfaces} | {each.cidr for each in map(facts.subnet, outside) if each}
    return sorted((each for each in router.routes if each.destination not in on_link), key=lambda each: each.nexthop)


def outer_routes(facts: Facts, router: view.Router) -> dict[str, list[str]]:
    """By destination, the next hops on the external network, where no leg has one."""
    found = facts.found("subnet@network", router.gateway.network_id) if router.gateway else ()
    outside = [subnet.cidr for subnet in map(facts.subnet, found) if subnet]
    legs = [leg.cidr for leg in router.interfaces]
    routes = extra_routes(facts, router)
    inner = {each.destination for each in routes if _is_on(each.nexthop, legs)}
    nexthops: dict[str, list[str]] = {}
    for each in routes:
        if each.destination not in inner and _is_on(each.nexthop, outside):
            nexthops.setdefault(each.destination, []).append(each.nexthop)
    return nexthops


def spread(facts: Facts, owner: Owner, name: str, ways: Sequence[list[Action]]) -> tuple[list[Action], Iterator[Part]]:
    """What a flow for a destination does, and the group that it needs, by that name. Each way ends in a Goto."""
    if len(ways) == 1:
        return ways[0], iter(())
    number = further_group(facts.number("group", name))
    buckets = tuple(Bucket(tuple(map(_resubmitted, way))) for way in ways)
    return [UseGroup(number)], iter((Group(number, owner, buckets, select=True),))


def _is_on(ip: str, cidrs: Iterable[str]) -> bool:
    return any((":" in ip) == (":" in cidr) and ip_address(ip) in ip_network(cidr) for cidr in cidrs)


def _resubmitted(action: Action) -> Action:
    """A bucket has actions and no instructions."""
    return Resubmit(action.stage) if isinstance(action, Goto) else action
