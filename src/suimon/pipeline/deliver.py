"""Stages deliver and reply: to the guest, as many packets as it may get, and back to the guest that asked something.

What goes to a trunk's subport leaves under its tag. The tag comes off again afterwards: the packet may have other ways
to go. A probe that is waited for goes to the agent instead (docs/decisions/0026).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.classify import TAG_PRESENT
from suimon.pipeline.count import received
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import SOURCE, TARGET
from suimon.pipeline.flow import (
    IN_PORT,
    Action,
    Output,
    PopVlan,
    PushVlan,
    ToController,
    UseMeter,
    flow,
    set_field,
)
from suimon.pipeline.limit import meters_to_guest, of_trunk, uses
from suimon.pipeline.meters import Range
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield flow(Stage.REPLY, 0, owner, {}, [Output(IN_PORT)])


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    ofport, network = facts.ofports.get(port.id), facts.network(port.network_id)
    if ofport is None or network is None or not (port.up and network.up):
        return
    number = facts.number("port", port.id)
    counting = (*meters_to_guest(facts, owner, port), *of_trunk(facts, owner, port, "ingress"))
    metered = (*uses(counting), *received(port))
    to_port: dict[str, object] = {TARGET: number}
    if not facts.listens(port):
        return
    yield flow(Stage.DELIVER, 100, owner, to_port, [*metered, *tagged(port, Output(ofport))])
    if probe := facts.probes.get(f"port/{port.id}"):
        caught: list[Action] = [UseMeter(Range.AGENT | number), ToController()]
        yield flow(Stage.DELIVER, 200, owner, to_port | probe.looks(), caught)
    if port.parent is None and not facts.has("port@parent", port.id):
        return
    if port.vlan:
        yield flow(Stage.REPLY, 100, owner, {SOURCE: number}, tagged(port, Output(IN_PORT)))
    # Between the ports of one trunk a packet leaves by where it came in, which only the name IN_PORT allows.
    nearby = to_port | {"in_port": ofport}
    yield flow(Stage.DELIVER, 120, owner, nearby | {SOURCE: number})
    yield flow(Stage.DELIVER, 110, owner, nearby, [*metered, *tagged(port, Output(IN_PORT))])


def tagged(port: view.Port, output: Output) -> list[Action]:
    """The output under the port's tag, if it is a trunk's subport."""
    if not port.vlan:
        return [output]
    return [PushVlan(), set_field("vlan_vid", TAG_PRESENT | port.vlan), output, PopVlan()]


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows}
