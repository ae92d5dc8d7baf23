"""Why can't A reach B? `/operations/v1/reachability` for operators, and for whoever owns one of the two.

A tenant is told his own half: of the other only that the destination refused, or that his port was not reached.
"""

import asyncio
import random
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Final, Literal, Protocol

import msgspec
import structlog
from msgspec import Meta
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.operations.allowance import Allowance
from suimon.api.wire import Call, answer
from suimon.distribution.presence import HostState
from suimon.distribution.provenance import Provenance, provenances
from suimon.distribution.reachability import Question, Verdict, Way, verdict
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Forbidden, NotFound, Unavailable
from suimon.model.things import Port
from suimon.pipeline.simulate.causes import Event
from suimon.pipeline.simulate.sender import QuestionError, Wanted
from suimon.store.tx import Tx

log = structlog.get_logger()

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Short = Annotated[str, Meta(max_length=64)]
Hop = dict[str, object]

_REFUSED: Final = "refused by the destination"
_NOT_REACHED: Final = "not reached"
_PROBE_COSTS: Final = 5
"""As many questions: two hosts do something for it."""
_PROBE_PORTS: Final = (61000, 65535)
"""Source ports that Linux gives to nobody by itself (ip_local_port_range)."""
_MOST_WAITING: Final = 8


class Asked(msgspec.Struct, rename={"source": "from", "target": "to"}, forbid_unknown_fields=True):
    """From and to: a port by id or name, or an IP address; from outside, one of an external network will do, too."""

    source: Name
    target: Name
    protocol: Literal["icmp", "tcp", "udp"] = "icmp"
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    as_mac: Short = ""
    as_ip: Short = ""
    trace: bool = False
    probe: bool = False
    size: Annotated[int, Meta(ge=28, le=65535)] = 64


class Told(msgspec.Struct, frozen=True):
    """What one transaction found out."""

    question: Question
    verdict: Verdict
    named: dict[tuple[str, str], Provenance]


class HostStates(Protocol):
    """How hosts are, from what they reported: `distribution.Distribution`."""

    def state(self, host: str, noted: str = "") -> HostState: ...


class Comparison(Protocol):
    """Asks the hosts involved whether their switches agree: `api.operations.comparison.Comparer`."""

    async def compare(self, told: Told) -> dict[str, object]:
        """`trace`, what was seen, and `findings`, sentences about what disagrees."""
        ...


class Probing(Protocol):
    """Sends a real packet: `api.operations.probing.Prober`."""

    async def probe(self, told: Told) -> dict[str, object]:
        """`arrived` (None: it could not be tried) and `words`."""
        ...


class Reachability:
    """The handlers of `/operations/v1/reachability`: one question at a time, of tenants' a few a minute."""

    def __init__(
        self, gate: Gate, states: HostStates, allowance: Allowance, checks: tuple[Comparison, Probing] | None
    ) -> None:
        self._store = gate.store
        self._states = states
        self._allowance = allowance
        self._checks = checks
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def ask(self, call: Call, actor: Actor) -> Response:
        """POST with a body, or GET with the same as a query."""
        asked = _asked(dict(call.query()) if call.method == "GET" else await call.json())
        if asked.trace and not actor.admin:
            raise Forbidden("Only operators may have the hosts' switches asked.")
        if not actor.admin:
            self._allowance.spend(actor.project_id, _PROBE_COSTS if asked.probe else 1)
        told = await self._answered(actor, asked)
        shown = _shown(told, actor)
        if actor.admin:
            shown["hosts"] = self._hosts(told.verdict)
        if asked.trace or asked.probe:
            shown |= await self._checked(told, asked, actor)
        return answer({"reachability": shown})

    async def _checked(self, told: Told, asked: Asked, actor: Actor) -> dict[str, object]:
        """What the hosts' switches say of the packet and, of a probe, what they do with it. Only operators are told
        which switch says what.
        """
        if self._checks is None:
            raise Unavailable("This controller has no line to hosts.")
        if (
            asked.probe
            and not actor.admin
            and not all(_sees(actor, end) for end in (told.question.source, told.verdict.target))
        ):
            raise Forbidden("A probe goes from a port of yours to a port of yours.")
        comparison, probing = self._checks
        compared = await comparison.compare(told)
        probed = await probing.probe(told) if asked.probe else {}
        findings = [str(each) for each in compared.get("findings", ())]  # type: ignore[attr-defined]
        disagreement = _disagreement(told, probed)
        for finding in (*findings, *disagreement):
            log.error("reachability_disagrees", finding=finding, source=asked.source, target=asked.target)
        if not actor.admin:
            return {"probe": probed, "findings": disagreement}
        shown = {"trace": compared["trace"], "findings": [*findings, *disagreement]}
        return shown | ({"probe": probed} if probed else {})

    async def _answered(self, actor: Actor, asked: Asked) -> Told:
        if self._waiting >= _MOST_WAITING:
            raise Unavailable("Too many questions at once; ask again.")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._store.read(lambda tx: _found_out(tx, actor, asked))
        finally:
            self._waiting -= 1

    def _hosts(self, found: Verdict) -> list[dict[str, object]]:
        """How the hosts on the way are: what one that is away has in its switch may be older than the verdict."""
        names = dict.fromkeys(event.host for way in (found.there, found.back) for event in way.events if event.host)
        states = {name: self._states.state(name) for name in names}
        return [
            {"name": name, "up": each.up, "revision": each.revision, "lag_revisions": each.lag_revisions}
            for name, each in states.items()
        ]


def _disagreement(told: Told, probed: dict[str, object]) -> list[str]:
    arrived = probed.get("arrived")
    if arrived is None or arrived == told.verdict.there.arrived:
        return []
    return [f"by the model the packet {'does not arrive' if arrived else 'arrives'}; the probe {probed['words']}"]


def _asked(said: object) -> Asked:
    try:
        return msgspec.convert({} if said is None else said, Asked, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"That is no question: {error}.") from None


def _found_out(tx: Tx, actor: Actor, asked: Asked) -> Told:
    source, target = _end(tx, actor, asked.source), _end(tx, actor, asked.target)
    ports = [end for end in (source, target) if isinstance(end, Port)]
    unseen = NotFound(f"Address {asked.target} could not be found.")
    if ports:
        unseen = NotFound(f"Port {ports[0].id} could not be found.", "PortNotFound")
    mine = actor.admin or any(_sees(actor, port) for port in ports)
    if not mine and isinstance(target, Port):
        raise unseen
    if (asked.as_mac or asked.as_ip) and not isinstance(source, Port):
        raise BadRequest("as_mac and as_ip are about what a port sends.")
    l4_source = random.randint(*_PROBE_PORTS)
    wanted = Wanted(asked.protocol, asked.port, asked.as_mac, asked.as_ip, asked.size, l4_source)
    question = Question(source, target, wanted)
    try:
        found = verdict(tx, question)
    except QuestionError as error:
        raise (BadRequest(f"That can't be asked: {error}.") if mine else unseen) from None
    if not mine and not _receives(actor, found):
        raise unseen
    named = {(event.kind, event.id) for way in (found.there, found.back) for event in way.events}
    return Told(question, found, provenances(tx, named))


def _end(tx: Tx, actor: Actor, name: str) -> Port | str:
    """A port by its id or, of those that the actor sees, its name; or an address. Raises NotFound, BadRequest."""
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    port = tx.get(Port, name)
    if port is not None:
        return port
    mine = {} if actor.admin else {"project_id": actor.viewer}
    found = tx.select(Port, {"name": name, **mine}, limit=2)
    if len(found) > 1:
        raise BadRequest(f"Several ports are named {name}: ask by id.")
    if not found:
        raise NotFound(f"Port {name} could not be found.", "PortNotFound")
    return found[0]


def _sees(actor: Actor, port: Port | str | None) -> bool:
    return isinstance(port, Port) and (actor.admin or port.project_id == actor.viewer)


def _receives(actor: Actor, found: Verdict) -> bool:
    """Whether the half of the way is his that begins where a packet comes for the target."""
    whose = found.target.project_id if found.target else found.project_id
    return actor.admin or (bool(whose) and whose == actor.viewer)


def _shown(told: Told, actor: Actor) -> dict[str, object]:
    found = told.verdict
    mine = actor.admin or _sees(actor, told.question.source), _receives(actor, found)
    return {
        "reached": found.reached,
        "there": list(_hops(told, found.there, actor, mine)),
        "back": list(_hops(told, found.back, actor, (mine[1], mine[0]))),
    }


def _hops(told: Told, way: Way, actor: Actor, mine: tuple[bool, bool]) -> Iterator[Hop]:
    """`mine` says whether the actor may see the sender's half, and the receiver's."""
    for event in way.events:
        if mine[0 if event.near else 1]:
            yield _hop(event, told.named.get((event.kind, event.id)), actor)
        elif event.what in ("dropped", "delivered", "answered"):
            words = "delivered" if event.what != "dropped" else _NOT_REACHED if event.near else _REFUSED
            yield {"what": event.what, "words": words}


def _hop(event: Event, known: Provenance | None, actor: Actor) -> Hop:
    hop: Hop = {"stage": event.stage, "what": event.what, "words": event.words}
    if actor.admin:
        hop["host"] = event.host
    elif event.what == "forwarded":
        hop["words"] = "left its host"
    if event.id and known is not None:
        if actor.admin or known.project_id == actor.viewer:
            hop["resource"] = {"kind": event.kind, "id": event.id, **msgspec.to_builtins(known)}
        elif event.kind != "restriction" or not known.project_id:  # One of another's network binds him, and he sees it.
            hop["words"] = f"{event.what} by a {event.kind.replace('_', ' ')} that isn't yours"
    return hop
