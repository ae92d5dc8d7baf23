"""Stage deliver: to the guest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import TARGET
from suimon.pipeline.flow import Output, flow
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    ofport, network = facts.ofports.get(port.id), facts.network(port.network_id)
    if ofport is not None and network is not None and port.up and network.up:
        yield flow(Stage.DELIVER, 100, owner, {TARGET: facts.number("port", port.id)}, [Output(ofport)])


PRODUCERS: Final[Producers] = {"port": port_flows}
