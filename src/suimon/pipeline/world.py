"""World: a host's facts, and what each owner makes of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from suimon.model.owner import Owner
from suimon.pipeline.facts import BRIDGE, Facts
from suimon.pipeline.flow import Flow, Group, Meter
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.program import Nat, Part, Producer, Producers, Program, Shape, Zone
from suimon.pipeline.stages import STAGES

_OBJECTS: Final = frozenset({"network", "port", "peer", "leg", "router", "floating_ip", "restriction"})
"""Kinds of owner that are objects of the view; the others stand for something found in an index."""


class World(Facts):
    """Facts that compile. `stages` can be extended from outside (docs/decisions/0002)."""

    def __init__(self, host: str, numbers: Numbers, stages: Mapping[str, Producers] = STAGES) -> None:
        super().__init__(host, numbers)
        self._producers: defaultdict[str, list[Producer]] = defaultdict(list)
        for producers in stages.values():
            for kind, producer in producers.items():
                self._producers[kind].append(producer)

    def compile(self, owner: Owner) -> Program:
        """All that the owner needs now: nothing when it is gone."""
        thing = self.objects.get((owner.kind, owner.id)) if owner.kind in _OBJECTS else owner.id
        if thing is None:
            return Program()
        return _program(part for producer in self._producers[owner.kind] for part in producer(self, owner, thing))

    def owners(self) -> Iterator[Owner]:
        """Everything there is to compile: what starting up marks dirty."""
        yield BRIDGE
        yield from (Owner(kind, name) for kind, name in self.objects if kind in _OBJECTS)
        yield from (Owner("group_set", name) for name in self.keys("port@set"))
        yield from (Owner("group", name) for name in sorted({key.partition("/")[0] for key in self.keys("reference")}))
        yield from (Owner("address", ip) for ip in self.keys("group@address"))
        yield from (Owner("mac", claim) for claim in self.keys("claim"))
        yield from (Owner("local_ip", name) for name in self.keys("local"))
        yield from (Owner("flood", part) for part in self.keys("flood"))
        yield from (Owner("vtep", vtep) for vtep in self.keys("vtep"))
        yield from (Owner("neighbour", f"{network_id}/{ip}") for network_id, ip in self.neighbours)


def _program(parts: Iterator[Part]) -> Program:
    flows: list[Flow] = []
    groups: list[Group] = []
    meters: list[Meter] = []
    shapes: list[Shape] = []
    nats: list[Nat] = []
    zones: list[Zone] = []
    for part in parts:
        match part:
            case Flow():
                flows.append(part)
            case Group():
                groups.append(part)
            case Meter():
                meters.append(part)
            case Shape():
                shapes.append(part)
            case Nat():
                nats.append(part)
            case Zone():
                zones.append(part)
    return Program(tuple(flows), tuple(groups), tuple(meters), tuple(shapes), tuple(nats), tuple(zones))
