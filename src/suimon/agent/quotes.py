"""ICMP errors about packets whose addresses the switch rewrote, to a floating IP or a local one: what they quote is
translated, too (RFC 3022, 4.3; RFC 5508, 4.2 and 4.3).

Only that is done here. The packet goes on from the stage that handed it up, where it meets the flows that rewrite it;
whether the guest has such a connection, its security groups say on the way. How many there are, meters bound.
"""

from __future__ import annotations

import msgspec

from suimon.agent.outside import PacketOut, resumed
from suimon.agent.packets import Ethernet, IcmpError, ip_text
from suimon.dataplane.openflow.messages import PacketIn
from suimon.pipeline.fields import NET, QUOTED, SOURCE
from suimon.pipeline.local_ip import stands_for
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World


def translated(world: World, packet: PacketIn) -> PacketOut | None:
    """The error as it goes on; None for one about a packet that never came from the address it is sent to.

    Raises PacketError for bytes that are no error that quotes an IPv4 header.
    """
    frame = Ethernet.parse(packet.data)
    error = IcmpError.parse(frame.payload)
    sender, receiver = ip_text(frame.payload[12:16]), ip_text(frame.payload[16:20])
    network_id = world.numbers.name("network", packet.fields.get(NET, 0)) or ""
    fields = {**packet.fields, QUOTED: 1}
    if packet.stage == Stage.FLOATING_IN:
        behind = _behind(world, network_id, receiver)
        # Whoever has the address sent the packet that the error is about, or it is made up.
        if behind is None or error.src != receiver:
            return None
        own, port_id = behind
        about = error.about(own, error.dst)
        # Open vSwitch 3.1 loses what is sent on from a patch port, such as a provider network's, at the connection
        # tracker: it looks for the datapath's port. The stage's flow takes in_port off before the packet gets there.
        if not packet.fields.get(SOURCE):
            fields["in_port"] = world.ofports.get(port_id, 0)
    else:
        # What a guest forwards for others, and complains about, never was for its own address.
        renamed = _rewritten(world, packet, network_id, sender)
        about = error.about(error.src, renamed.get(error.dst, error.dst))
    data = msgspec.structs.replace(frame, payload=about).pack()
    return resumed(msgspec.structs.replace(packet, data=data, fields=fields), Stage(packet.stage))


def _behind(world: World, network_id: str, address: str) -> tuple[str, str] | None:
    """The address of the guest's own that a floating IP, or a local IP, stands for on a network, and its port."""
    for name in world.found("floating_ip@network", network_id):
        floating = world.floating_ip(name)
        if floating and floating.address == address:
            return floating.fixed_ip, floating.port_id
    port = stands_for(world, f"{network_id}/{address}")
    if port is None:
        return None
    return next(((local.fixed_ip, port.id) for local in port.local_ips if local.address == address), None)


def _rewritten(world: World, packet: PacketIn, network_id: str, sender: str) -> dict[str, str]:
    """Which address of the guest's own others know by which: stage floating_out is about to rewrite the sender's,
    local_back has.
    """
    port_id = world.numbers.name("port", packet.fields.get(SOURCE, 0)) or ""
    if packet.stage == Stage.FLOATING_OUT:
        every = map(world.floating_ip, world.found("floating_ip@port", port_id))
        return {each.fixed_ip: each.address for each in every if each and each.network_id == network_id}
    port = world.port(port_id)
    return {local.fixed_ip: local.address for local in port.local_ips if local.address == sender} if port else {}
