"""A port with several hosts, one of them active: a guest that migrates while it runs.

The active host passes what it gets for the guest on to the others, and with it what the guest sends on connections of
its own: so their connection trackers know the guest's connections before it comes (docs/decisions/0022). A host where
the guest is waited for gives nothing to its interface until the guest is heard there, by the ARP or RARP that
hypervisors send for it, or until it is the active one. The host that the guest has left passes on what still gets to
it by a tunnel.

No frame goes in circles: the active host passes nothing back to where it came from, and the others send to the active
one only what they don't have from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import meters
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import (
    CT_NEW,
    CT_REPLY,
    CT_TRACKED,
    FROM_GUEST,
    FROM_PROVIDER,
    FROM_TUNNEL,
    GROUP_SET,
    NET,
    ORIGIN,
    SOURCE,
    VERDICT,
    ZONE,
)
from suimon.pipeline.flow import (
    IN_PORT,
    Action,
    Bucket,
    Ct,
    Goto,
    Group,
    Output,
    Resubmit,
    ToController,
    UseGroup,
    UseMeter,
    flow,
    set_field,
)
from suimon.pipeline.gateway import VNI
from suimon.pipeline.lookup import further_group, to_port
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.shared import set_name
from suimon.pipeline.tables import Stage

_HEARD: Final = (0x0806, 0x8035)
"""ARP and RARP, by which QEMU and guests announce that they run here now."""
_TRACKED: Final = (0x0800, 0x86DD)


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    network = facts.network(port.network_id)
    if network is None or (port.active and not port.others):
        return
    matched: dict[str, object] = {NET: facts.number("network", network.id), "eth_dst": port.mac}
    here: list[Action] = [to_port(facts, port.id), Goto(Stage.BLOCK_IN)] if port.id in facts.ofports else []
    if not network.tunnelled:
        if here and not port.active:  # Where the provider's switches send it, the guest may be.
            yield flow(Stage.LOOKUP, 100, owner, matched | {ORIGIN: FROM_PROVIDER}, here)
    elif not port.active:
        yield from _waited_for(owner, port, matched, here)
        if here and facts.listens(port):  # By its floating IP: the switches outside have heard it here.
            yield flow(Stage.LOOKUP, 100, owner, matched | {ORIGIN: FROM_PROVIDER}, here)
    elif here:
        yield from _copied(facts, owner, port, matched, here)
    if here and port.parent is None and not facts.listens(port):
        yield from _announcing(facts, owner, port)
    if facts.tunnel_ofport is not None and port.security and not facts.stateless(set_name(port)):
        followed = _told_connections if port.active else _learned_connections
        yield from followed(facts, owner, port, facts.tunnel_ofport)


def _announcing(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    """The agent is shown how a guest that is waited for announces itself; it goes on like all that it sends."""
    number = facts.number("port", port.id)
    shown: list[Action] = [UseMeter(meters.Range.AGENT | number), ToController(), Goto(Stage.ANTISPOOF)]
    for eth_type in _HEARD:
        yield flow(Stage.BLOCK_OUT, 310, owner, {SOURCE: number, "eth_type": eth_type}, shown)


def _copied(
    facts: Facts, owner: Owner, port: view.Port, matched: dict[str, object], here: list[Action]
) -> Iterator[Part]:
    """A packet doesn't leave by the tunnel that it came from unless that is called IN_PORT."""
    ways: dict[str, Action] = {"copied": Resubmit(Stage.REMOTE), "returned": Output(IN_PORT)}
    groups = {use: _to_others(facts, owner, port, use, [leave]) for use, leave in ways.items()}
    yield from groups.values()
    for origin in (FROM_GUEST, FROM_PROVIDER, FROM_TUNNEL):
        copies = groups["returned" if origin == FROM_TUNNEL else "copied"]
        yield flow(Stage.LOOKUP, 104, owner, matched | {ORIGIN: origin}, [UseGroup(copies.group_id), *here])
    for vtep in port.others:
        yield flow(Stage.LOOKUP, 105, owner, matched | {ORIGIN: FROM_TUNNEL, "tun_src": vtep}, here)


def _waited_for(owner: Owner, port: view.Port, matched: dict[str, object], here: list[Action]) -> Iterator[Part]:
    for vtep in port.others:
        tunnelled = matched | {ORIGIN: FROM_TUNNEL}
        yield flow(Stage.LOOKUP, 105, owner, tunnelled | {"tun_src": vtep}, here)
        yield flow(Stage.LOOKUP, 104, owner, tunnelled, [set_field("tun_dst", vtep), Output(IN_PORT)])


def _told_connections(facts: Facts, owner: Owner, port: view.Port, tunnel: int) -> Iterator[Part]:
    """What the guest sends on connections that it opened, if allowed; the answers are copied on their way in."""
    named: list[Action] = [set_field("eth_dst", _mac(port)), set_field("tun_id", VNI), Output(tunnel)]
    yield (told := _to_others(facts, owner, port, "told", named))
    allowed: dict[str, object] = {SOURCE: facts.number("port", port.id), VERDICT: 1}
    onwards: list[Action] = [UseGroup(told.group_id), Goto(Stage.ANSWER)]
    for eth_type in _TRACKED:
        opened = allowed | {"eth_type": eth_type, "ct_state": (CT_TRACKED, CT_TRACKED | CT_REPLY)}
        new = CT_TRACKED | CT_NEW
        first = allowed | {"eth_type": eth_type, "ct_state": (new, new | CT_REPLY)}
        yield flow(Stage.ALLOW_OUT, 28, owner, first, [Ct(ZONE, commit=True), *onwards])
        yield flow(Stage.ALLOW_OUT, 26, owner, opened, onwards)


def _learned_connections(facts: Facts, owner: Owner, port: view.Port, tunnel: int) -> Iterator[Part]:
    """The same packets go through the port's zone and the port's rules here, and no further."""
    number = facts.number("port", port.id)
    for vtep in port.others:
        told = {"in_port": tunnel, "tun_id": VNI, "tun_src": vtep, "eth_dst": _mac(port)}
        actions: list[Action] = [
            set_field(NET, facts.number("network", port.network_id)),
            set_field(ORIGIN, FROM_TUNNEL),
            set_field(ZONE, number),
            set_field(GROUP_SET, facts.number("set", set_name(port))),
            Goto(Stage.TRACK_OUT),
        ]
        yield flow(Stage.TUNNEL, 110, owner, told, actions)
    seen: dict[str, object] = {ORIGIN: FROM_TUNNEL, ZONE: number}
    new = (CT_TRACKED | CT_NEW, CT_TRACKED | CT_NEW)
    for eth_type in _TRACKED:
        first = seen | {VERDICT: 1, "eth_type": eth_type, "ct_state": new}
        yield flow(Stage.ALLOW_OUT, 41, owner, first, [Ct(ZONE, commit=True)])
    yield flow(Stage.ALLOW_OUT, 40, owner, seen)


def _to_others(facts: Facts, owner: Owner, port: view.Port, use: str, actions: list[Action]) -> Group:
    """A copy for each of the port's other hosts; what is written into it is in no other."""
    group_id = further_group(facts.number("group", f"{port.id}/{use}"))
    return Group(group_id, owner, tuple(Bucket((set_field("tun_dst", vtep), *actions)) for vtep in port.others))


def _mac(port: view.Port) -> str:
    """Names the port between its hosts: a locally administered address (IEEE 802c) that no port gets."""
    return f"06:{blake2b(port.id.encode(), digest_size=5).digest().hex(':')}"


PRODUCERS: Final[Producers] = {"port": port_flows}
