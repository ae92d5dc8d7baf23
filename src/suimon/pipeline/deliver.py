"""Stage deliver: to the guest, as many packets as it may get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import TARGET
from suimon.pipeline.flow import Output, flow
from suimon.pipeline.limit import packet_meters
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    ofport, network = facts.ofports.get(port.id), facts.network(port.network_id)
    if ofport is not None and network is not None and port.up and network.up:
        actions = [*packet_meters(facts, port, "ingress"), Output(ofport)]
        yield flow(Stage.DELIVER, 100, owner, {TARGET: facts.number("port", port.id)}, actions)


PRODUCERS: Final[Producers] = {"port": port_flows}
