"""What one owner puts into the switch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from suimon.model.owner import Owner
from suimon.model.view import PortForwarding
from suimon.pipeline.facts import Facts
from suimon.pipeline.flow import Flow, Group, Meter


class Shape(msgspec.Struct, frozen=True):
    """Shape what goes to a guest: linux-htb on its interface, since a meter there would only drop."""

    port_id: str
    rate_kbps: int
    burst_kbits: int


class Nat(msgspec.Struct, frozen=True):
    """A router's network namespace on a gateway host (`dataplane.nat`).

    It is reached by `addresses` and leads to the CIDRs `inside` and `outside`, where the longest prefix counts, and
    outside whatever is in none. It gives what leaves `source` as its address, if that is not empty, unless it comes
    from one of `plain`.
    """

    router_id: str
    addresses: tuple[str, ...]
    inside: tuple[str, ...]
    outside: tuple[str, ...] = ()
    source: str = ""
    plain: tuple[str, ...] = ()
    forwardings: tuple[PortForwarding, ...] = ()
    mtu: int = 1500
    """Of the external network."""


class Zone(msgspec.Struct, frozen=True):
    """A conntrack zone that fills by what one guest does: the host bounds it (`dataplane.zones`)."""

    number: int


class Program(msgspec.Struct, frozen=True, gc=False):
    """All that one owner needs; empty when the owner is gone."""

    flows: tuple[Flow, ...] = ()
    groups: tuple[Group, ...] = ()
    meters: tuple[Meter, ...] = ()
    shapes: tuple[Shape, ...] = ()
    nats: tuple[Nat, ...] = ()
    zones: tuple[Zone, ...] = ()


Part = Flow | Group | Meter | Shape | Nat | Zone
"""What a stage yields."""
Producer = Callable[[Facts, Owner, Any], Iterable[Part]]
"""(facts, owner, the owner's object) → its parts in one stage. The object is the view's struct, or the owner's id."""
Producers = Mapping[str, Producer]
"""By kind of owner."""
