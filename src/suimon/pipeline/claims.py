"""Stage antispoof, of virtual addresses: the agent is shown by which port a guest claims one (docs/decisions/0041).

A claim is an ARP message from the single address of an allowed address pair, or an advertisement of it, that
anti-spoofing lets pass. It goes on like any other, and first: the meter drops only the copy. Who holds an address
already claims nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import meters
from suimon.pipeline.facts import Facts
from suimon.pipeline.flow import Action, Bucket, Goto, Group, Resubmit, ToController, UseGroup, UseMeter
from suimon.pipeline.lookup import further_group
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    if _shown(facts, port):
        metered = (UseMeter(meters.Range.AGENT | facts.number("port", port.id)), ToController())
        yield Group(_group(facts, port), owner, (Bucket((Resubmit(Stage.ANSWER),)), Bucket(metered)))


def onwards(facts: Facts, port: view.Port, mac: str, cidr: str) -> list[Action]:
    """What becomes of a message that says where an address is: to stage answer, and a claim to the agent besides."""
    claimed = view.AddressPair(mac.lower(), view.AddressPair(mac, cidr).single or "")
    claim = _shown(facts, port) and claimed in port.claimable
    return [UseGroup(_group(facts, port))] if claim else [Goto(Stage.ANSWER)]


def _shown(facts: Facts, port: view.Port) -> bool:
    """A guest that is waited for elsewhere holds what it held."""
    return port.security and port.active and port.id in facts.ofports and bool(port.claimable)


def _group(facts: Facts, port: view.Port) -> int:
    return further_group(facts.number("group", f"{port.id}/claimed"))


PRODUCERS: Final[Producers] = {"port": port_flows}
