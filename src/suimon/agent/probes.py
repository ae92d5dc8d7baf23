"""Probes: packets of ours that take a guest's way through the switch for real, and are caught where they arrive
(docs/decisions/0026).

One is sent as if the guest's interface had handed it over or, as if from outside, by a provider network to other hosts.
Its destination's port, or the provider network that it leaves by, has a flow for what it looks like, which hands it to
the agent instead. Its content tells it from all else: what only looks like it, is delivered from here.
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
from suimon.model.questions import Question
from suimon.pipeline.facts import Probe
from suimon.pipeline.fields import NET, PROBE_ECN, TARGET
from suimon.pipeline.flow import Output, Resubmit, match
from suimon.pipeline.remote import host_mac
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

    def expect(self, place: str, probe: Probe | None) -> None: ...

    async def settled(self) -> None: ...


class _Awaited:
    """A probe that is waited for at a place: `port/<id>` or `provider/<physnet>`."""

    def __init__(self, nonce: bytes, forget: asyncio.TimerHandle) -> None:
        self.nonce = nonce
        self.forget = forget
        self.seen = asyncio.Event()


class Probes:
    """At most one at a time for each place."""

    def __init__(self, world: World, catching: Catching, config: Config | None = None) -> None:
        self._world = world
        self._catching = catching
        self._config = config or Config()
        self._awaited: dict[str, _Awaited] = {}

    async def expect(self, question: Question) -> None:
        """Returns when the switch looks out for it. Raises ProbeError and TimeoutError."""
        self._require(question.entry)
        place, fields = question.entry, question.fields
        if place in self._awaited:
            raise ProbeError(f"{place} waits for another probe")
        l4_source = fields.get("tcp_src", fields.get("udp_src", 0)) & 0xFFFF
        probe, nonce = Probe(_family(fields), fields.get("ip_proto", 0) & 0xFF, l4_source), _nonce(question)
        forget = asyncio.get_running_loop().call_later(self._config.forgotten_after_s, self._forget, place)
        self._awaited[place] = _Awaited(nonce, forget)
        self._catching.expect(place, probe)
        await self._catching.settled()

    async def seen(self, question: Question) -> bool:
        """Whether it came, or comes soon; then it is waited for no more. Raises ProbeError for one never expected."""
        self._require(question.entry)
        awaited = self._awaited.get(question.entry)
        if awaited is None or awaited.nonce != _nonce(question):
            raise ProbeError(f"{question.entry} waits for no such probe")
        try:
            async with asyncio.timeout(self._config.seen_within_s):
                await awaited.seen.wait()
        except TimeoutError:
            return False
        finally:
            self._forget(question.entry)
        return True

    def caught(self, packet: PacketIn) -> list[PacketOut]:
        """What the flow for a probe handed over: of it, nothing goes on; anything else, to where it was going."""
        onwards = self._leaving(packet) if packet.stage == Stage.REMOTE else self._delivered(packet)
        if onwards is None:
            return []
        place, sent = onwards
        awaited = self._awaited.get(place)
        if awaited is not None and awaited.nonce in packet.data:
            log.info("probe_caught", place=place)
            awaited.seen.set()
            return []
        return [sent]

    def made(self, question: Question, fields: dict[str, int]) -> PacketOut:
        """The probe: a packet with these headers, as if it had come in by the port `entry`; by a provider network it is
        sent to another host, as if it had come from outside. Raises ProbeError.
        """
        ofport = self._require(question.entry)
        port = self._world.port(question.entry.removeprefix("port/"))
        vlan = port.vlan if port else fields.get("vlan_vid", 0) & 0xFFF or None
        data = tagged(frame(fields, _nonce(question)), vlan)
        log.info("probe_sent", place=question.entry)
        if port is None:
            return PacketOut((Output(ofport),), data)
        return PacketOut((Resubmit(Stage.CLASSIFY),), data, match({"in_port": ofport}))

    def _delivered(self, packet: PacketIn) -> tuple[str, PacketOut] | None:
        """To which port it was going, and how it gets there."""
        port = self._world.port(self._world.numbers.name("port", packet.fields.get(TARGET, 0)) or "")
        ofport = self._world.ofports.get(port.id) if port else None
        if port is None or ofport is None:
            return None
        return f"port/{port.id}", PacketOut((Output(ofport),), tagged(packet.data, port.vlan))

    def _leaving(self, packet: PacketIn) -> tuple[str, PacketOut] | None:
        """By which provider network, and as what: a router's own MAC never leaves (docs/decisions/0018)."""
        network = self._world.network(self._world.numbers.name("network", packet.fields.get(NET, 0)) or "")
        ofport = self._world.physnets.get(network.physnet or "") if network else None
        if network is None or ofport is None:
            return None
        routers = map(self._world.router, self._world.found("router@network", network.id))
        legs = {leg.mac for router in routers if router for leg in router.interfaces}
        data = packet.data
        if data[6:12].hex(":") in legs:
            data = data[:6] + bytes.fromhex(host_mac(self._world.host).replace(":", "")) + data[12:]
        vlan = network.segment if network.kind == "vlan" else None
        return f"provider/{network.physnet}", PacketOut((Output(ofport),), tagged(data, vlan))

    def _require(self, place: str) -> int:
        """Its OpenFlow port. Raises ProbeError for a place that this host hasn't got."""
        kind, _, name = place.partition("/")
        if kind == "port" and self._world.port(name) and name in self._world.ofports:
            return self._world.ofports[name]
        if kind == "provider" and name in self._world.physnets:
            return self._world.physnets[name]
        raise ProbeError(f"{place} has no interface on this host")

    def _forget(self, place: str) -> None:
        if awaited := self._awaited.pop(place, None):
            awaited.forget.cancel()
            self._catching.expect(place, None)


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
