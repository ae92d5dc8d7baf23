"""Which gateway hosts serve: asked through the tunnel, where their switches answer by themselves.

Every host asks those that its routers may leave by; gateway hosts ask each other. Who does not answer is pressed, and
who is silent still is away, and the next by rank serves. A flooded switch loses questions and answers among the rest,
and lives: one that anything else comes from is not silent (docs/decisions/0035). One that comes back hears from those
that replaced it that they did, and waits until they let it serve again, `return_after_s` later: connections don't break
twice in a row when a host comes and goes. While it waits it says so, and everybody believes it. So it is with what a
host can't serve though it lives, as the link of a physical network's uplink is down or a router's namespace can't be
made: of that alone it says so, and as long after that is over. What an agent knew, the next one on its host knows: its
restart is no reason to move anything either.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Final, Never, Protocol

import msgspec
import structlog

from suimon.agent.outside import PacketOut
from suimon.agent.packets import Ethernet, PacketError
from suimon.agent.saved import KnownGateway
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import Router
from suimon.pipeline.flow import Output, set_field
from suimon.pipeline.gateway import (
    ALIVE,
    ASKED,
    MOST_REFUSALS,
    REPLACED,
    SERVING,
    VNI,
    WAITING,
    device,
    refusal,
    stands_by,
)
from suimon.pipeline.world import World

log = structlog.get_logger()

_ASKER: Final = "02:53:4d:00:01:02"
_PADDING: Final = bytes(46)
"""The shortest frame (IEEE 802.3) carries this much."""


class Config(msgspec.Struct, frozen=True):
    """A host that dies is replaced after `interval_s` to twice that, and `pressed` * `pressing_s`."""

    interval_s: float = 0.5
    pressing_s: float = 0.05
    pressed: int = 10
    """How many more questions are put, each `pressing_s`, to who has not answered one for `interval_s`."""
    return_after_s: float = 60.0

    @property
    def told_after_s(self) -> float:
        """One that answers again has been told by then that it was replaced, if it was."""
        return 3 * self.interval_s


class Verdict(msgspec.Struct, frozen=True):
    """By tunnel address: who doesn't serve (this host too, if so), who was replaced; whether this host serves.

    `returned` grows when a replaced host answers again and may have drawn traffic to it meanwhile. `refused` has what
    hosts that serve don't, each by tunnel address and as the answer named it, this host by "".
    """

    away: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    serving: bool = True
    returned: int = 0
    refused: frozenset[tuple[str, str]] = frozenset()


class Mattering(msgspec.Struct, frozen=True):
    """By tunnel address: the gateway hosts that routers here may leave by; of these, those that share some router with
    this host, and so replace it and are replaced by it; and this host's own address, "" if it is no gateway. `unable`
    is what this host can't serve now, as it says so.
    """

    hosts: frozenset[str] = frozenset()
    fellows: frozenset[str] = frozenset()
    own: str = ""
    unable: frozenset[str] = frozenset()


class _Host(msgspec.Struct):
    said: str = ""
    lost: bool = False
    well_since: float | None = None
    announced: bool = True
    due_at: float = 0.0
    unanswered: int = 0
    heard: int = 0
    """How many packets had come from it when pressing began."""
    refused: dict[str, float] = {}
    """Until when it is believed not to serve what it named."""

    @property
    def pressed(self) -> bool:
        """Whether it is urgent to know if it lives: it did until now."""
        return self.unanswered > 1 and (not self.lost or self.well_since is not None)

    @property
    def differs(self) -> bool:
        """From a host that nothing is known of."""
        return self.lost or self.said in (WAITING, REPLACED) or bool(self.refused)


class Liveness:
    """A state machine without I/O; `now` is any clock in seconds that only goes forward."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._hosts: dict[str, _Host] = {}
        self._fellows: frozenset[str] = frozenset()
        self._own = ""
        self._unable: dict[str, float] = {}
        """Until when this host doesn't serve what it could not: it must be well for a while first."""
        self._returned = 0
        self._begun: float | None = None
        self._settled = False
        self._heard: set[str] = set()
        """Who answered since it began."""

    @property
    def leads_out(self) -> bool:
        """Whether this host would lead out now, were it first in rank. While it may not have been told yet that it was
        replaced, it wouldn't; one that is no gateway host has nobody wait for it.
        """
        return not self._own or (self._settled and self.verdict().serving and not self._unable)

    @property
    def told(self) -> bool:
        """Whether this host would know by now, had others replaced it while the switch or the agent was away: until
        then it draws no traffic to it.
        """
        return self._settled or (self._begun is not None and self._fellows <= self._heard)

    def begin(self) -> None:
        """The switch was away, or the agent: others may have replaced this host meanwhile."""
        self._begun, self._settled = None, False
        self._heard.clear()

    def recall(self, known: Iterable[KnownGateway], matter: Mattering, now: float) -> None:
        """What the agent before this one knew of those that still matter."""
        self._own, self._fellows = matter.own, matter.fellows
        for each in known:
            if not each.vtep:
                self._unable = dict.fromkeys(each.refused, now + self._config.return_after_s)
            elif each.vtep in matter.hosts:
                well_since = each.well_since if each.well_since is not None and each.well_since <= now else None
                self._hosts[each.vtep] = _Host(each.said, each.lost, well_since, announced=not each.lost)
                believed = dict.fromkeys(each.refused, now + self._config.told_after_s)
                self._hosts[each.vtep].refused = believed

    def known(self) -> tuple[KnownGateway, ...]:
        """To be recalled: what differs from hosts that nothing is known of."""
        own = {"": _Host(refused=self._unable)} if self._unable else {}
        differ = own | {vtep: host for vtep, host in self._hosts.items() if host.differs}
        return tuple(
            KnownGateway(vtep, host.said, host.lost, host.well_since, tuple(sorted(host.refused)))
            for vtep, host in sorted(differ.items())
        )

    def doubted(self, now: float) -> list[str]:
        """Of whom `ask` has to know how many packets came."""
        pressed = self._config.pressed
        due = {vtep: host for vtep, host in self._hosts.items() if host.due_at <= now}
        return [
            each for each, host in due.items() if host.unanswered == 1 or (host.pressed and host.unanswered > pressed)
        ]

    def ask(self, matter: Mattering, heard: Mapping[str, int | None], now: float) -> list[str]:
        """Whom to ask now; `heard` has what came by now from those that were `doubted`, None if nothing could come."""
        self._own, self._fellows = matter.own, matter.fellows
        self._begun = now if self._begun is None else self._begun
        self._settled = now - self._begun >= self._config.told_after_s
        well_at = now + self._config.return_after_s
        self._unable = _still(self._unable, now) | dict.fromkeys(sorted(matter.unable), well_at)
        self._hosts = {vtep: self._hosts.get(vtep) or _Host(due_at=now) for vtep in sorted(matter.hosts)}
        for host in self._hosts.values():
            host.refused = _still(host.refused, now)
        due = {vtep: host for vtep, host in self._hosts.items() if host.due_at <= now}
        for vtep, host in due.items():
            if vtep in heard and host.unanswered:
                _weigh(vtep, host, heard[vtep])
            if host.lost and host.well_since is not None:
                self._see_well(vtep, host, now - host.well_since)
            host.unanswered += 1
            host.due_at = now + (self._config.pressing_s if host.pressed else self._config.interval_s)
        return list(due)

    def next_at(self, now: float) -> float:
        """When somebody is to be asked again, `now` being when they were asked."""
        return min((host.due_at for host in self._hosts.values()), default=now + self._config.interval_s)

    def answered(self, vtep: str, said: str, now: float) -> None:
        """An answer of a host that was asked; others are not believed. What it refuses, it says first."""
        host = self._hosts.get(vtep)
        if host is None or not host.unanswered:
            return
        if said not in (SERVING, WAITING, REPLACED):
            if len(host.refused) < MOST_REFUSALS or said in host.refused:
                host.refused = host.refused | {said: now + self._config.told_after_s}
            return
        host.unanswered, host.said = 0, said
        self._heard.add(vtep)
        if host.lost and host.well_since is None:
            host.well_since = now

    def verdict(self) -> Verdict:
        lost = {vtep for vtep, host in self._hosts.items() if host.lost}
        waiting = {vtep for vtep, host in self._hosts.items() if host.said == WAITING}
        replaced = any(self._is_replaced_by(vtep, host) for vtep, host in self._hosts.items())
        serving = not replaced and len(self._unable) <= MOST_REFUSALS
        refusing = {vtep: host.refused for vtep, host in self._hosts.items()} | {"": self._unable}
        refused = frozenset((who, what) for who, named in refusing.items() for what in named)
        away = lost | waiting | (set() if serving or not self._own else {self._own})
        return Verdict(frozenset(away), self._fellows & lost, serving, self._returned, refused)

    def _is_replaced_by(self, vtep: str, host: _Host) -> bool:
        """Two that lost sight of each other both took over: of these, the one with the lower address stays."""
        return bool(self._own) and host.said == REPLACED and not (host.lost and _number(self._own) < _number(vtep))

    def _see_well(self, vtep: str, host: _Host, well_s: float) -> None:
        """By now it was told that it was replaced; what it announced before that is put right."""
        if not host.announced and well_s >= self._config.told_after_s:
            host.announced = True
            self._returned += 1
        # Who did not replace it has nothing to give back: it says itself whether it serves.
        if well_s >= (self._config.return_after_s if vtep in self._fellows else self._config.told_after_s):
            log.info("gateway_returned", vtep=vtep)
            host.lost, host.well_since = False, None


def _still(believed: Mapping[str, float], now: float) -> dict[str, float]:
    return {what: until for what, until in believed.items() if until > now}


def _weigh(vtep: str, host: _Host, heard: int | None) -> None:
    """Questions and answers may be lost where other packets pass: of one that died, nothing comes."""
    if heard is None:
        host.unanswered = 0
    elif host.unanswered == 1 or heard != host.heard:
        host.unanswered, host.heard = 1, heard
    else:
        if not host.lost:
            log.warning("gateway_lost", vtep=vtep, unanswered=host.unanswered)
        host.lost, host.well_since, host.said, host.announced = True, None, "", False


class Asked(Protocol):
    """This host's switch (agent.session.Session). Raises what its connections raise."""

    async def send(self, packet: PacketOut) -> None: ...

    async def packets_from(self, vtep: str) -> int | None:
        """How many packets came from this tunnel endpoint; those of the last moment may lack. None if none can come."""


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
        self.cut: frozenset[str] = frozenset()
        """Physical networks whose uplink leads nowhere."""
        self.unmade: frozenset[str] = frozenset()
        """Devices of namespaces that could not be made; `all` if none can."""

    def recall(self, known: Iterable[KnownGateway]) -> Verdict:
        """What the agent before this one knew of those that still matter, and what follows from it."""
        self._liveness.recall(known, self._matter(), self._clock())
        return self._liveness.verdict()

    def known(self) -> tuple[KnownGateway, ...]:
        return self._liveness.known()

    @property
    def leads_out(self) -> bool:
        return self._liveness.leads_out

    @property
    def told(self) -> bool:
        return self._liveness.told

    async def run(self, switch: Asked, judged: Judged) -> Never:
        """Ends with what `switch` raises."""
        self._liveness.begin()
        while True:
            pause_s = self._config.interval_s
            if self._world.tunnel_ofport is not None:
                pause_s = await self._ask(switch, self._world.tunnel_ofport)
            judged.judge(self._liveness.verdict())
            await asyncio.sleep(pause_s)

    def answered(self, packet: PacketIn) -> Verdict | None:
        """An answer came; None if it is none."""
        try:
            said = Ethernet.parse(packet.data).src
        except PacketError:
            return None
        self._liveness.answered(str(IPv4Address(packet.fields.get("tun_src", 0))), said, self._clock())
        return self._liveness.verdict()

    async def _ask(self, switch: Asked, tunnel: int) -> float:
        """Everybody who is due; until when nobody is, in seconds."""
        now = self._clock()
        heard = {vtep: await switch.packets_from(vtep) for vtep in self._liveness.doubted(now)}
        for vtep in self._liveness.ask(self._matter(), heard, now):
            to = (set_field("tun_dst", vtep), set_field("tun_id", VNI), Output(tunnel))
            await switch.send(PacketOut(to, Ethernet(ASKED, _ASKER, ALIVE, _PADDING).pack()))
        return self._liveness.next_at(now) - self._clock()

    def _matter(self) -> Mattering:
        world = self._world
        names = (
            name for network_id in world.keys("router@gateway") for name in world.found("router@gateway", network_id)
        )
        routers = [router for router in map(world.router, names) if router]
        standing = [stands_by(world, router) for router in routers]
        own = {each.vtep for ranks in standing for each in ranks if each.host == world.host}
        others = [frozenset(each.vtep for each in ranks) - own for ranks in standing]
        fellows = (each for each, ranks in zip(others, standing, strict=True) if len(each) < len(ranks))
        unable = frozenset(self._unable(routers)) if own else frozenset()
        return Mattering(frozenset().union(*others), frozenset().union(*fellows), min(own, default=""), unable)

    def _unable(self, routers: Iterable[Router]) -> Iterator[str]:
        """As this host says it. A namespace that is there leads out, though it can't be changed."""
        yield from map(refusal, self.cut)
        for router in routers if self.unmade else ():
            name = device(router.id)
            if router.gateway and name not in self._world.nats and self.unmade & {name, "all"}:
                yield router.gateway.mac.lower()


def _number(vtep: str) -> int:
    return int(IPv4Address(vtep))
