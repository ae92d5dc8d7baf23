"""Probes: packets of ours that take a guest's way through the switch for real, and are caught where they arrive
(docs/decisions/0026).

One is sent as if the guest's interface had handed it over. Its destination's port has a flow for what it looks like,
which hands it to the agent in place of the guest. Its content tells it from all else: what only looks like it, is
delivered from here.
"""

from __future__ import annotations

import asyncio
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

import msgspec
import structlog

from suimon.agent.outside import PacketOut
from suimon.agent.packets import ETH_IPV4, checksum, tagged
from suimon.agent.packets6 import ETH_IPV6
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import Question
from suimon.pipeline.facts import Probe
from suimon.pipeline.fields import PROBE_ECN, TARGET
from suimon.pipeline.flow import Output, Resubmit, match
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

log = structlog.get_logger()

_TCP, _UDP = 6, 17
_ICMP: Final = {1: "icmp", 58: "icmpv6"}
_SYN: Final = 0x02
_LONGEST_NONCE: Final = 64


class ProbeError(Exception):
    """This host can't take part in the probe; says why."""


class Config(msgspec.Struct, frozen=True):
    seen_within_s: float = 1.0
    """How long a probe may take, once it was sent."""
    forgotten_after_s: float = 10.0
    """When nobody asks any more whether it was seen."""


class Catching(Protocol):
    """Who has the switch look out (agent.enforcer.Enforcer)."""

    def expect(self, port_id: str, probe: Probe | None) -> None: ...

    async def settled(self) -> None: ...


class _Awaited:
    """A probe that a port of this host waits for."""

    def __init__(self, nonce: bytes, forget: asyncio.TimerHandle) -> None:
        self.nonce = nonce
        self.forget = forget
        self.seen = asyncio.Event()


class Probes:
    """At most one at a time for each port."""

    def __init__(self, world: World, catching: Catching, config: Config | None = None) -> None:
        self._world = world
        self._catching = catching
        self._config = config or Config()
        self._awaited: dict[str, _Awaited] = {}

    async def expect(self, question: Question) -> None:
        """Returns when the switch looks out for it. Raises ProbeError and TimeoutError."""
        port_id, fields = self._port(question), question.fields
        if port_id in self._awaited:
            raise ProbeError("the port waits for another probe")
        l4_source = fields.get("tcp_src", fields.get("udp_src", 0)) & 0xFFFF
        probe, nonce = Probe(_family(fields), fields.get("ip_proto", 0) & 0xFF, l4_source), _nonce(question)
        forget = asyncio.get_running_loop().call_later(self._config.forgotten_after_s, self._forget, port_id)
        self._awaited[port_id] = _Awaited(nonce, forget)
        self._catching.expect(port_id, probe)
        await self._catching.settled()

    async def seen(self, question: Question) -> bool:
        """Whether it came, or comes soon; then it is waited for no more. Raises ProbeError for one never expected."""
        port_id = self._port(question)
        awaited = self._awaited.get(port_id)
        if awaited is None or awaited.nonce != _nonce(question):
            raise ProbeError("the port waits for no such probe")
        try:
            async with asyncio.timeout(self._config.seen_within_s):
                await awaited.seen.wait()
        except TimeoutError:
            return False
        finally:
            self._forget(port_id)
        return True

    def caught(self, packet: PacketIn) -> list[PacketOut]:
        """What the flow for a probe handed over: of it, nothing goes on; anything else, to its port."""
        port_id = self._world.numbers.name("port", packet.fields.get(TARGET, 0)) or ""
        awaited, port = self._awaited.get(port_id), self._world.port(port_id)
        if awaited is not None and awaited.nonce in packet.data:
            log.info("probe_caught", port=port_id)
            awaited.seen.set()
            return []
        ofport = self._world.ofports.get(port_id)
        if port is None or ofport is None:
            return []
        return [PacketOut((Output(ofport),), tagged(packet.data, port.vlan))]

    def made(self, question: Question, fields: dict[str, int]) -> PacketOut:
        """The probe, as if the port `entry` had sent a packet with these headers. Raises ProbeError."""
        port = self._world.port(self._port(question))
        assert port is not None, "it has an interface"
        data = tagged(frame(fields, _nonce(question)), port.vlan)
        log.info("probe_sent", port=port.id)
        came = match({"in_port": self._world.ofports[port.id]})
        return PacketOut((Resubmit(Stage.CLASSIFY),), data, came)

    def _port(self, question: Question) -> str:
        kind, _, port_id = question.entry.partition("/")
        if kind != "port" or port_id not in self._world.ofports or self._world.port(port_id) is None:
            raise ProbeError(f"{question.entry} has no interface on this host")
        return port_id

    def _forget(self, port_id: str) -> None:
        if awaited := self._awaited.pop(port_id, None):
            awaited.forget.cancel()
            self._catching.expect(port_id, None)


def frame(fields: dict[str, int], payload: bytes) -> bytes:
    """An Ethernet frame with these headers, checksums and all, marked as a probe. Raises ProbeError."""
    eth_type, protocol = _family(fields), fields.get("ip_proto", 0)
    version = "ipv6" if eth_type == ETH_IPV6 else "ipv4"
    source, target = fields.get(f"{version}_src", 0), fields.get(f"{version}_dst", 0)
    ttl = fields.get("ip_ttl", 64)
    ends = fields.get("eth_dst", 0).to_bytes(6) + fields.get("eth_src", 0).to_bytes(6) + eth_type.to_bytes(2)
    if eth_type == ETH_IPV6:
        addresses = IPv6Address(source).packed + IPv6Address(target).packed
        segment = _segment(protocol, fields, payload, addresses)
        return ends + struct.pack("!IHBB", 6 << 28 | PROBE_ECN << 20, len(segment), protocol, ttl) + addresses + segment
    addresses = IPv4Address(source).packed + IPv4Address(target).packed
    segment = _segment(protocol, fields, payload, addresses)
    head = struct.pack("!BBHHHBBH", 0x45, PROBE_ECN, 20 + len(segment), 0, 0x4000, ttl, protocol, 0) + addresses
    return ends + head[:10] + checksum(head).to_bytes(2) + head[12:] + segment


def _segment(protocol: int, fields: dict[str, int], payload: bytes, addresses: bytes) -> bytes:
    if protocol == _TCP:
        ports = struct.pack("!HH", fields.get("tcp_src", 0), fields.get("tcp_dst", 0))
        segment, at = ports + struct.pack("!IIBBHHH", 1, 0, 5 << 4, _SYN, 0xFFFF, 0, 0) + payload, 16
    elif protocol == _UDP:
        ports = struct.pack("!HH", fields.get("udp_src", 0), fields.get("udp_dst", 0))
        segment, at = ports + struct.pack("!HH", 8 + len(payload), 0) + payload, 6
    elif name := _ICMP.get(protocol):
        kind = struct.pack("!BB", fields.get(f"{name}_type", 0), fields.get(f"{name}_code", 0))
        # The identifier of an echo is all that tells one from another to a connection tracker.
        segment, at = kind + struct.pack("!HHH", 0, checksum(payload), 1) + payload, 2
    else:
        raise ProbeError(f"no probe is made of protocol {protocol}")
    pseudo = b"" if protocol == 1 else addresses + struct.pack("!II", len(segment), protocol)
    total = checksum(pseudo + segment)
    # RFC 768: zero means "no checksum".
    return segment[:at] + (0xFFFF if not total and protocol == _UDP else total).to_bytes(2) + segment[at + 2 :]


def _family(fields: dict[str, int]) -> int:
    eth_type = fields.get("eth_type", 0)
    if eth_type not in (ETH_IPV4, ETH_IPV6):
        raise ProbeError("a probe is an IP packet")
    return eth_type


def _nonce(question: Question) -> bytes:
    """Raises ProbeError for one that anything could hold."""
    if not 16 <= len(question.nonce) <= _LONGEST_NONCE or not question.nonce.isascii():
        raise ProbeError("the probe's mark is too short, or too long")
    return question.nonce.encode()
