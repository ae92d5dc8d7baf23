"""Which gateway hosts serve: asked through the tunnel, where their switches answer by themselves.

Every host asks those that its routers may leave by; gateway hosts ask each other. Who does not answer `lost_after`
times is away, and the next by rank serves. One that comes back hears from those that replaced it that they did, and
waits until they let it serve again, `return_after_s` later: connections don't break twice in a row when a host comes
and goes. While it waits it says so, and everybody believes it. What an agent knew, the next one on its host knows: its
restart is no reason to move anything either.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address
from typing import Final, Never, Protocol

import msgspec
import structlog

from suimon.agent.outside import PacketOut
from suimon.agent.packets import Ethernet, PacketError
from suimon.agent.saved import KnownGateway
from suimon.dataplane.openflow.messages import PacketIn
from suimon.pipeline.flow import Output, set_field
from suimon.pipeline.gateway import ALIVE, ASKED, REPLACED, SERVING, VNI, WAITING, stands_by
from suimon.pipeline.world import World

log = structlog.get_logger()

_ASKER: Final = "02:53:4d:00:01:02"
_PADDING: Final = bytes(46)
"""The shortest frame (IEEE 802.3) carries this much."""


class Config(msgspec.Struct, frozen=True):
    """A host that dies is replaced after `interval_s` * (`lost_after` - 1) to `interval_s` * `lost_after`."""

    interval_s: float = 0.5
    lost_after: int = 5
    """A switch at the end of its strength loses questions and answers for a second or two, and lives."""
    return_after_s: float = 60.0


class Verdict(msgspec.Struct, frozen=True):
    """By tunnel address: who doesn't serve (this host too, if so), who was replaced; whether this host serves.

    `returned` grows when a replaced host answers again and may have drawn traffic to it meanwhile.
    """

    away: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    serving: bool = True
    returned: int = 0


class _Host(msgspec.Struct):
    unanswered: int = 0
    said: str = ""
    lost: bool = False
    well_since: float | None = None
    announced: bool = True


class Liveness:
    """A state machine without I/O; `now` is any clock in seconds that only goes forward."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._hosts: dict[str, _Host] = {}
        self._own = ""
        self._returned = 0

    def recall(self, known: Iterable[KnownGateway], own: str, now: float) -> None:
        """What the agent before this one knew."""
        self._own = own
        for each in known:
            well_since = each.well_since if each.well_since is not None and each.well_since <= now else None
            self._hosts[each.vtep] = _Host(0, each.said, each.lost, well_since, announced=not each.lost)

    def known(self) -> tuple[KnownGateway, ...]:
        """To be recalled: what differs from hosts that nothing is known of."""
        differ = {vtep: host for vtep, host in self._hosts.items() if host.lost or host.said in (WAITING, REPLACED)}
        return tuple(KnownGateway(vtep, host.said, host.lost, host.well_since) for vtep, host in sorted(differ.items()))

    def ask(self, hosts: frozenset[str], own: str, now: float) -> list[str]:
        """Whom to ask now, of the hosts that matter; `own` is this host's address, "" if it is no gateway."""
        self._own = own
        self._hosts = {vtep: self._hosts.get(vtep) or _Host() for vtep in hosts}
        for vtep, host in self._hosts.items():
            if host.unanswered >= self._config.lost_after:
                if not host.lost:
                    log.warning("gateway_lost", vtep=vtep, unanswered=host.unanswered)
                host.lost, host.well_since, host.said, host.announced = True, None, "", False
            if host.lost and host.well_since is not None:
                self._see_well(vtep, host, now - host.well_since)
            host.unanswered += 1
        return sorted(self._hosts)

    def answered(self, vtep: str, said: str, now: float) -> None:
        """An answer of a host that was asked; others are not believed."""
        host = self._hosts.get(vtep)
        if host is None or not host.unanswered or said not in (SERVING, WAITING, REPLACED):
            return
        host.unanswered, host.said = 0, said
        if host.lost and host.well_since is None:
            host.well_since = now

    def verdict(self) -> Verdict:
        lost = {vtep for vtep, host in self._hosts.items() if host.lost}
        waiting = {vtep for vtep, host in self._hosts.items() if host.said == WAITING}
        serving = not any(self._is_replaced_by(vtep, host) for vtep, host in self._hosts.items())
        away = lost | waiting | (set() if serving or not self._own else {self._own})
        return Verdict(frozenset(away), frozenset(lost), serving, self._returned)

    def _is_replaced_by(self, vtep: str, host: _Host) -> bool:
        """Two that lost sight of each other both took over: of these, the one with the lower address stays."""
        return bool(self._own) and host.said == REPLACED and not (host.lost and _number(self._own) < _number(vtep))

    def _see_well(self, vtep: str, host: _Host, well_s: float) -> None:
        """By now it was told that it was replaced; what it announced before that is put right."""
        if not host.announced and well_s >= self._config.interval_s * self._config.lost_after:
            host.announced = True
            self._returned += 1
        if well_s >= self._config.return_after_s:
            log.info("gateway_returned", vtep=vtep)
            host.lost, host.well_since = False, None


class Judged(Protocol):
    """What the liveness of gateway hosts is told to (agent.enforcer.Enforcer)."""

    def judge(self, verdict: Verdict) -> None: ...


class Gateways:
    """Asks, as long as `run` lives, and tells what follows. Made once for the agent's life."""

    def __init__(self, config: Config, world: World, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._world = world
        self._clock = clock
        self._liveness = Liveness(config)

    def recall(self, known: Iterable[KnownGateway]) -> Verdict:
        """What the agent before this one knew of those that still matter, and what follows from it."""
        hosts, own = self._hosts()
        self._liveness.recall((each for each in known if each.vtep in hosts), own, self._clock())
        return self._liveness.verdict()

    def known(self) -> tuple[KnownGateway, ...]:
        return self._liveness.known()

    async def run(self, send: Callable[[PacketOut], Awaitable[None]], judged: Judged) -> Never:
        """Ends with what `send` raises."""
        while True:
            hosts, own = self._hosts()
            tunnel = self._world.tunnel_ofport
            for vtep in self._liveness.ask(hosts, own, self._clock()) if tunnel is not None else ():
                frame = Ethernet(ASKED, _ASKER, ALIVE, _PADDING).pack()
                to = (set_field("tun_dst", vtep), set_field("tun_id", VNI), Output(tunnel or 0))
                await send(PacketOut(to, frame))
            judged.judge(self._liveness.verdict())
            await asyncio.sleep(self._config.interval_s)

    def answered(self, packet: PacketIn) -> Verdict | None:
        """An answer came; None if it is none."""
        try:
            said = Ethernet.parse(packet.data).src
        except PacketError:
            return None
        self._liveness.answered(str(IPv4Address(packet.fields.get("tun_src", 0))), said, self._clock())
        return self._liveness.verdict()

    def _hosts(self) -> tuple[frozenset[str], str]:
        """Those that some router here may leave by, and this host's own tunnel address if it is one of them."""
        world = self._world
        names = (
            name for network_id in world.keys("router@gateway") for name in world.found("router@gateway", network_id)
        )
        ranks = {each for router in map(world.router, names) if router for each in stands_by(world, router)}
        own = next((each.vtep for each in ranks if each.host == self._world.host), "")
        return frozenset(each.vtep for each in ranks if each.host != self._world.host), own


def _number(vtep: str) -> int:
    return int(IPv4Address(vtep))
