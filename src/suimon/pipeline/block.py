"""Stages block_out and block_in: port blocks of a QoS policy, before the security groups, so that no rule opens what an
operator closed.

A block drops what the guest sends to (egress), or is sent on (ingress), an l4 port. Where connections are tracked it
also drops the other direction of a connection that was already open, told by the tuple that opened it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import CT_INVALID, CT_REPLY, CT_TRACKED, FIRST_FRAGMENT, SOURCE, TARGET
from suimon.pipeline.flow import Flow, Goto, flow
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.ranges import masks
from suimon.pipeline.tables import Stage


class _Family(NamedTuple):
    """How the addresses of packets, and of the tuples of connections, are called."""

    eth_type: int
    address: str
    tuple: str


_L4: Final = {6: "tcp", 17: "udp"}
_FAMILIES: Final = (_Family(0x0800, "ipv4", "ct_nw"), _Family(0x86DD, "ipv6", "ct_ipv6"))
_REPLY: Final = (CT_TRACKED | CT_REPLY, CT_TRACKED | CT_REPLY | CT_INVALID)


_OUT: Final = (Stage.BLOCK_OUT, Stage.GROUP_IN)
_IN: Final = (Stage.BLOCK_IN, Stage.GROUP_OUT)
_HIDDEN: Final = 130
RESTRICTING: Final = 5
"""By how much the flows of restrictions are above those of policies."""


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    for stage, family, (protocol, l4) in product((Stage.BLOCK_OUT, Stage.BLOCK_IN), _FAMILIES, _L4.items()):
        # A first fragment that hides its ports in the next one is nobody's honest packet (RFC 1858, 3; RFC 7112, 5).
        hidden = {"ip_proto": protocol, "ip_frag": FIRST_FRAGMENT, f"{l4}_src": 0, f"{l4}_dst": 0}
        yield flow(stage, _HIDDEN, owner, {"eth_type": family.eth_type, **hidden})
    yield flow(Stage.BLOCK_OUT, 0, owner, {}, [Goto(Stage.ANTISPOOF)])
    yield flow(Stage.BLOCK_IN, 0, owner, {}, [Goto(Stage.TRACK_IN)])


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    policy = facts.qos(port.qos_id)
    if policy is None or port.id not in facts.ofports:
        return
    number = facts.number("port", port.id)
    for block in policy.blocks:
        for bits in masks(block.port_min, block.port_max):
            yield from blocked(owner, number, block, bits)


def blocked(
    owner: Owner, number: int, block: view.PortBlock, bits: tuple[int, int], *, restricting: bool = False
) -> Iterator[Flow]:
    """One of the `masks` of a block; of a restriction's, the flows can be told from those of a policy's."""
    above = RESTRICTING if restricting else 0
    if block.direction == "egress":
        stage, reply_stage, here, there, remote = *_OUT, SOURCE, TARGET, "dst"
    else:
        stage, reply_stage, here, there, remote = *_IN, TARGET, SOURCE, "src"
    prefix = block.remote_prefix
    for family in _FAMILIES:
        if prefix and (":" in prefix) != (family is _FAMILIES[1]):
            continue
        matched: dict[str, object] = {
            here: number,
            "eth_type": family.eth_type,
            "ip_proto": block.protocol,
            f"{_L4[block.protocol]}_dst": bits,
        }
        yield flow(stage, 100 + above, owner, matched | ({f"{family.address}_{remote}": prefix} if prefix else {}))
        opened: dict[str, object] = {there: number, "eth_type": family.eth_type, "ct_state": _REPLY}
        opened |= {"ct_nw_proto": block.protocol, "ct_tp_dst": bits}
        yield flow(reply_stage, 50 + above, owner, opened | ({f"{family.tuple}_{remote}": prefix} if prefix else {}))


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows}
