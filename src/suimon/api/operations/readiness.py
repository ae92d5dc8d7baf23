"""Why is this port not ready? Every reason that there is, in the order in which to look into them."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.wire import Call, answer
from suimon.distribution.presence import HostState
from suimon.distribution.provenance import noted_state, wanted_revision
from suimon.model.actor import Actor
from suimon.model.errors import NotFound
from suimon.model.things import Host, Network, Port, PortBinding
from suimon.model.touches import UNPLUGGED
from suimon.model.view import SCHEMA
from suimon.store.tx import Tx


class HostStates(Protocol):
    """How hosts are, from what they reported: `distribution.Distribution`."""

    def state(self, host: str, noted: str = "") -> HostState: ...


class Waiting(NamedTuple):
    """A host that the port is bound to besides: its guest is to come there, or has left it."""

    host: str
    noted: str
    wanted: int | None


class Facts(NamedTuple):
    """What the store knows of a port; `wanted` is the revision of its newest change that its host is told of."""

    port: Port
    network: Network | None
    host: Host | None
    noted: str
    wanted: int | None
    waiting: tuple[Waiting, ...] = ()


class Reason(NamedTuple):
    """`code` for programs, `words` for people, `detail` for operators alone."""

    code: str
    words: str
    detail: str = ""


class Readiness:
    """The handler of `/operations/v1/ports/<id>/readiness`."""

    def __init__(self, gate: Gate, states: HostStates) -> None:
        self._store = gate.store
        self._states = states

    async def show(self, call: Call, actor: Actor, port_id: str) -> Response:
        """GET, for operators and whoever owns the port."""
        facts = await self._store.read(lambda tx: _facts(tx, actor, port_id))
        state = self._states.state(facts.port.binding_host, facts.noted)
        found = list(reasons(facts, state))
        told = {"port_id": facts.port.id, "status": facts.port.status, "ready": not found, "reasons": []}
        told["reasons"] = [
            {"reason": each.code, "words": " ".join(filter(None, (each.words, each.detail if actor.admin else "")))}
            for each in found
        ]
        if actor.admin:
            told |= {"host": facts.port.binding_host, "revision": facts.wanted, "revision_in_force": state.revision}
            told["waiting_at"] = [{"host": each.host, "ready": self._waits(facts, each)} for each in facts.waiting]
        return answer({"readiness": told})

    def _waits(self, facts: Facts, waiting: Waiting) -> bool:
        """Whether all that the port needs is in force where its guest is to come."""
        state, owner = self._states.state(waiting.host, waiting.noted), f"port/{facts.port.id}"
        known = waiting.wanted is None or (state.revision is not None and state.revision >= waiting.wanted)
        return state.up and not state.held and owner not in state.failures and known


def reasons(facts: Facts, state: HostState) -> Iterator[Reason]:
    """None of them: the port's flows are in its host's switch, as they are wanted now."""
    port, network = facts.port, facts.network
    if port.device_owner in UNPLUGGED:
        yield Reason("not_plugged", "No interface is ever plugged into this port: it is one of the network's own.")
        return
    if not port.admin_state_up:
        yield Reason("port_down", "The port is administratively down.")
    if network is not None and not network.admin_state_up:
        yield Reason("network_down", "The port's network is administratively down.")
    if not port.binding_host:
        yield Reason("unbound", "The port is bound to no host.")
        return
    if facts.host is None:
        yield Reason("host_unknown", "The port's host has not joined.", f"It is bound to {port.binding_host}.")
        return
    yield from _of_host(facts, facts.host, state)
    if port.status != "ACTIVE":
        reason = port.status_reason or "The host has not said that the port's flows are in its switch."
        yield Reason("host_says", reason)


def _of_host(facts: Facts, host: Host, state: HostState) -> Iterator[Reason]:
    if not state.up:
        heard = f"It was heard of last at {state.heard_at}." if state.heard_at else "It was never heard of."
        yield Reason("host_down", "The port's host is not heard of.", f"{host.name}: {heard}")
    if state.held:
        yield Reason("held", "The port's host holds back what it is told.", f"{host.name}: {state.held}")
    for owner, why in state.failures.items():
        if owner == f"port/{facts.port.id}":
            yield Reason("refused", "The host's switch refused the port's flows.", f"{host.name}: {why}")
    if facts.wanted is not None and state.revision is not None and state.revision < facts.wanted:
        behind = f"Wanted is revision {facts.wanted}, in force is {state.revision}."
        yield Reason("behind", "The port's host has not put the port's newest change in force yet.", behind)
    if host.schema < SCHEMA:
        versions = f"{host.name} speaks view schema {host.schema}, this controller {SCHEMA}."
        yield Reason("older_agent", "The host's agent is older: what came after it is not enforced there.", versions)


def _facts(tx: Tx, actor: Actor, port_id: str) -> Facts:
    port = tx.get(Port, port_id)
    if port is None or not (actor.admin or port.project_id == actor.viewer):
        raise NotFound(f"Port {port_id} could not be found.", "PortNotFound")
    host = tx.get(Host, port.binding_host) if port.binding_host else None
    noted = noted_state(tx, host.name) if host else ""
    wanted = wanted_revision(tx, port.id, port.binding_host) if host else None
    bindings = tx.select(PortBinding, {"port_id": port.id}, order=("host",))
    waiting = tuple(_waiting(tx, port.id, each.host, wanted) for each in bindings)
    return Facts(port, tx.get(Network, port.network_id), host, noted, wanted, waiting)


def _waiting(tx: Tx, port_id: str, host: str, told_active: int | None) -> Waiting:
    """What the active host is told of a port, those that wait for it are told, too."""
    told = [each for each in (told_active, wanted_revision(tx, port_id, host)) if each is not None]
    return Waiting(host, noted_state(tx, host), max(told, default=None))
