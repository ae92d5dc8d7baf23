"""Next hops on external networks: asked for by ARP in the name of a floating IP, learned, kept fresh.

Those of IPv6 are asked for by neighbour discovery (RFC 4861) in the name of a gateway; an `Arp` says it all for them,
too: `discovered` makes one of an advertisement.

A state machine without I/O: the agent tells it which hops its routers need, which packets missed one and which ARP
answers came, and sends the frames that it returns. `now` is any clock in seconds that only goes forward.

Only an answer to a question that is open is believed: from the asked address, to the floating IP that asked, through
the interface where the question left. A neighbour that stops answering is kept (a silent gateway must not cut off the
guests); another MAC replaces it when it answers.
"""

from collections.abc import Mapping, Set
from typing import Final

import msgspec
import structlog

from suimon.agent.packets import (
    ARP_REPLY,
    ARP_REQUEST,
    BROADCAST_MAC,
    ETH_ARP,
    NO_MAC,
    Arp,
    Ethernet,
    PacketError,
    mac_bytes,
    mac_text,
)
from suimon.agent.packets6 import ETH_IPV6, Icmp6, ip6_bytes, ip6_text, multicast_mac
from suimon.dataplane.openflow.messages import PacketIn

log = structlog.get_logger()

Hop = tuple[str, str]
"""(network id, address) of a next hop."""

_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_MAC, _TARGET_MAC = 1, 2

WAITING_PER_HOP: Final = 3
WAITING_IN_ALL: Final = 256
"""Packets that wait for an answer or for its flow; what comes beyond is dropped, and sent again by who sent it."""


class Config(msgspec.Struct, frozen=True):
    refresh_s: float = 30.0
    retry_s: float = 1.0
    tries: int = 3
    """Questions at `retry_s` before a hop counts as silent: then asked when a packet is sent to it, and every
    `refresh_s`; or given up."""
    max_hops: int = 4096


class Source(msgspec.Struct, frozen=True):
    """In whose name something is said, and where it leaves: a floating IP and the interface to its network.

    `router` says that it forwards packets, which IPv6 has told with the address.
    """

    ip: str
    mac: str
    ofport: int
    vlan: int | None = None
    router: bool = False


class Outgoing(msgspec.Struct, frozen=True):
    """A frame to send out of OpenFlow port `ofport`, with its VLAN tag if the network has one."""

    ofport: int
    frame: bytes


class Learned(msgspec.Struct, frozen=True):
    """`mac` answers for `hop`; `packets` waited for it. `news` is False when that was known."""

    hop: Hop
    mac: str
    packets: tuple[PacketIn, ...]
    news: bool


class _Question(msgspec.Struct):
    source: Source
    due_at: float
    needed: bool
    mac: str | None = None
    tries: int = 0
    heard_at: float = 0.0
    waiting: list[PacketIn] = []
    late: int = 0
    """Packets that were missed since the answer, as its flow isn't in at once."""


class Neighbours:
    """What is known and asked. `known` starts as what the last life of the agent had learned."""

    def __init__(self, config: Config, known: Mapping[Hop, str]) -> None:
        self._config = config
        self._known = dict(known)
        self._questions: dict[Hop, _Question] = {}

    @property
    def known(self) -> dict[Hop, str]:
        return dict(self._known)

    def need(
        self, hops: Mapping[Hop, Source], sources: Mapping[str, Source], networks: Set[str], now: float
    ) -> list[Hop]:
        """What is to be known from now on; what to forget comes back.

        `hops` are next hops of routers; `sources` has a source for each `link` that can be asked on; `networks` are
        those that anybody here is on at all, so that an interface that is away for a moment makes nothing forgotten.
        """
        for hop, question in list(self._questions.items()):
            source = hops.get(hop) or sources.get(link(hop))
            given_up = question.needed and hop not in hops and question.mac is None
            if source is None or given_up:
                del self._questions[hop]
            else:
                question.source, question.needed = source, hop in hops
        for hop in [*hops, *self._known]:
            source = hops.get(hop) or sources.get(link(hop))
            if source is not None and hop not in self._questions:
                self._questions[hop] = _Question(source, now, hop in hops, self._known.get(hop), heard_at=now)
        forgotten = [hop for hop in self._known if hop[0] not in networks]
        for hop in forgotten:
            del self._known[hop]
        return forgotten

    def missed(self, hop: Hop, source: Source, packet: PacketIn, now: float) -> bool:
        """`packet` could not go on because nobody knows `hop`: ask for it, and let the packet wait. True if it is known
        by now, and the packet is to be sent on after the round that brings its flow.
        """
        question = self._questions.get(hop)
        if question is None:
            if len(self._questions) >= self._config.max_hops and not self._drop_most_silent():
                return False
            question = self._questions[hop] = _Question(source, now, False)
        if question.mac is not None:
            question.late += 1
            return question.late <= WAITING_PER_HOP
        if question.tries == 0:  # It counts as silent, but now somebody waits.
            question.due_at = min(question.due_at, now)
        waiting = sum(len(each.waiting) for each in self._questions.values())
        if len(question.waiting) < WAITING_PER_HOP and waiting < WAITING_IN_ALL:
            question.waiting.append(packet)
        return False

    def answered(self, network_id: str, reply: Arp, ofport: int, now: float) -> Learned | None:
        """Take in an ARP answer that came on this network by this interface; None if nobody asked for it."""
        if reply.op != ARP_REPLY or _is_group(reply.sha) or reply.sha == NO_MAC:
            return None
        for hop, question in self._questions.items():
            source = question.source
            asked = (*hop, source.ip, source.mac, source.ofport)
            if question.tries == 0 or asked != (network_id, reply.spa, reply.tpa, reply.tha, ofport):
                continue
            packets, question.waiting = tuple(question.waiting), []
            news = self._known.get(hop) != reply.sha
            question.late = 0 if news or packets else question.late
            self._known[hop] = question.mac = reply.sha
            question.tries, question.heard_at, question.due_at = 0, now, now + self._config.refresh_s
            return Learned(hop, reply.sha, packets, news)
        return None

    def due(self, now: float) -> list[Outgoing]:
        """The questions to ask now. A hop that no router needs and nobody answers for is given up."""
        frames = []
        for hop, question in list(self._questions.items()):
            if question.due_at > now:
                continue
            if question.tries >= self._config.tries:
                question.waiting = []
                question.tries = 0
                question.due_at = now + self._config.refresh_s
                if question.mac is None and not question.needed:
                    del self._questions[hop]
                continue
            question.tries += 1
            question.due_at = now + self._config.retry_s
            # A refresh asks the one who answered before, and then everybody (RFC 1122, 2.3.2.1).
            to = question.mac if question.mac and question.tries == 1 else BROADCAST_MAC
            frames.append(_request(question.source, hop[1], to))
        return frames

    def next_due(self) -> float | None:
        return min((question.due_at for question in self._questions.values()), default=None)

    def _drop_most_silent(self) -> bool:
        spare = (each for each in self._questions.items() if not each[1].needed)
        hop, _ = min(spare, key=lambda each: each[1].heard_at, default=(None, None))
        if hop is None:
            return False
        # Its flow stays until the network is left: a kept MAC harms nobody, and what misses it next asks again.
        del self._questions[hop]
        return True


def advertised(source: Source, group: str, told: bytes) -> Outgoing:
    """A neighbour advertisement with the source's MAC, to a group; `told` is its flags and target."""
    message = Icmp6(source.ip, group, _ADVERTISEMENT, 0, told + _option(_TARGET_MAC, source.mac)).pack()
    return _outgoing(source, multicast_mac(group), message)


def discovered(frame: Ethernet) -> Arp:
    """What a neighbour advertisement with its link-layer address says. Raises PacketError for anything else."""
    message = Icmp6.parse(frame.payload)
    if (message.type, message.code) != (_ADVERTISEMENT, 0) or len(message.body) < 20:
        raise PacketError("not a whole neighbour advertisement")
    target, options = ip6_text(message.body[4:20]), message.body[20:]
    while len(options) >= 8 and options[1]:
        if options[:2] == bytes([_TARGET_MAC, 1]):
            return Arp(ARP_REPLY, mac_text(options[2:8]), target, frame.dst, message.dst)
        options = options[8 * options[1] :]
    raise PacketError("a neighbour advertisement without a link-layer address")


def link(hop: Hop) -> str:
    """What one source can ask on: a network, for either family."""
    return f"{hop[0]}/ipv6" if ":" in hop[1] else hop[0]


def _request(source: Source, ip: str, to: str) -> Outgoing:
    if ":" in ip:
        return _solicitation(source, ip, None if to == BROADCAST_MAC else to)
    arp = Arp(ARP_REQUEST, source.mac, source.ip, NO_MAC, ip)
    return Outgoing(source.ofport, Ethernet(to, source.mac, ETH_ARP, arp.pack(), source.vlan).pack())


def _solicitation(source: Source, ip: str, to: str | None) -> Outgoing:
    """To who had the address before, or to its solicited-node group (RFC 4861, 7.2.2)."""
    group = ip6_text(ip6_bytes("ff02::1:ff00:0")[:13] + ip6_bytes(ip)[13:])
    body = bytes(4) + ip6_bytes(ip) + _option(_SOURCE_MAC, source.mac)
    message = Icmp6(source.ip, ip if to else group, _SOLICITATION, 0, body).pack()
    return _outgoing(source, to or multicast_mac(group), message)


def _option(kind: int, mac: str) -> bytes:
    return bytes([kind, 1]) + mac_bytes(mac)


def _outgoing(source: Source, to: str, packet: bytes) -> Outgoing:
    return Outgoing(source.ofport, Ethernet(to, source.mac, ETH_IPV6, packet, source.vlan).pack())


def _is_group(mac: str) -> bool:
    """Multicast or broadcast: no station's own address."""
    return bool(int(mac[:2], 16) & 1)
