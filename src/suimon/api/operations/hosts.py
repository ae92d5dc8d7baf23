"""Hypervisors, for operators: who and how they are, letting them join, accepting what they hold back, removing."""

import math
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.wire import Call, answer, limit_of, no_content, time_of
from suimon.distribution.gateways import drain_revision, led_by
from suimon.distribution.presence import HostState
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, NotFound
from suimon.model.host_events import KINDS
from suimon.model.things import Host, JoinToken, Port
from suimon.resources import hosts as acts
from suimon.resources.collectors import create_collector_token
from suimon.resources.host_events import Asked, list_events
from suimon.store.tx import Tx


class HostStates(Protocol):
    """How hosts are, from what they reported: `distribution.Distribution`."""

    @property
    def revision(self) -> int: ...

    def state(self, host: str, noted: str = "") -> HostState: ...


class TokenRequest(msgspec.Struct):
    """For which host a join token is (empty: any new one), or for which collector; and how long it is good."""

    host: Annotated[str, Meta(max_length=253)] = ""
    collector: Annotated[str, Meta(max_length=63)] = ""
    lifetime_s: Annotated[int, Meta(ge=60, le=7 * 86400)] = 3600


class Hosts:
    """The handlers of `/operations/v1/hosts`."""

    def __init__(self, gate: Gate, states: HostStates) -> None:
        self._store = gate.store
        self._states = states

    async def index(self, call: Call, actor: Actor) -> Response:
        """GET: all hosts by name."""
        return answer({"hosts": await self._all(actor)})

    async def show(self, call: Call, actor: Actor, name: str) -> Response:
        """GET one."""
        found = [host for host in await self._all(actor) if host["name"] == name]
        if not found:
            raise NotFound(f"Host {name} could not be found.")
        return answer({"host": found[0]})

    async def events(self, call: Call, actor: Actor, name: str) -> Response:
        """GET what drifted, who repaired it, and what was removed there: the newest first, of one `kind` or all,
        `since` and `until` then (ISO 8601 or seconds since 1970), `limit` of them.
        """
        query = call.query()
        asked = dict(query)
        if unknown := asked.keys() - {"since", "until", "kind", "limit"}:
            raise BadRequest(f"There is no filter {min(unknown)[:40]!r}: there are since, until, kind and limit.")
        kinds = [each for each in KINDS if each == asked.get("kind", each)]
        if not kinds:
            raise BadRequest(f"There is no such kind: there are {', '.join(KINDS)}.")
        since_s, until_s = time_of(asked, "since", 0.0), time_of(asked, "until", math.inf)
        until = None if until_s == math.inf else datetime.fromtimestamp(until_s, UTC)
        wanted = Asked(datetime.fromtimestamp(since_s, UTC), until, kinds, limit_of(query))
        found = await self._store.read(lambda tx: list_events(tx, actor, name, wanted))
        return answer({"events": found})

    async def remove(self, call: Call, actor: Actor, name: str) -> Response:
        """DELETE: it is no host of ours any more; refused while ports are bound to it."""
        await self._store.write(lambda tx: acts.delete_host(tx, actor, name), actor)
        return no_content()

    async def accept(self, call: Call, actor: Actor, name: str) -> Response:
        """POST: the host may apply the snapshot that it holds back."""
        host = await self._store.write(lambda tx: acts.accept_host(tx, actor, name), actor)
        return answer({"host": self._told(host)})

    async def drain(self, call: Call, actor: Actor, name: str) -> Response:
        """POST: it is taken out of service; GET says how far that is."""
        await self._store.write(lambda tx: acts.drain_host(tx, actor, name, drained=True), actor)
        return await self.drain_progress(call, actor, name)

    async def undo_drain(self, call: Call, actor: Actor, name: str) -> Response:
        """DELETE: it is in service again."""
        await self._store.write(lambda tx: acts.drain_host(tx, actor, name, drained=False), actor)
        return no_content()

    async def drain_progress(self, call: Call, actor: Actor, name: str) -> Response:
        """GET: the routers that it still leads out, the hosts that have not put it in force, and the ports left on it.

        `done` says that nothing but ports is left, and everybody who is up knows.
        """

        def read(tx: Tx) -> tuple[list[Host], dict[str, str], list[str], list[Port], int]:
            hosts = acts.list_hosts(tx, actor)
            return hosts, acts.noted_states(tx), led_by(tx, name), acts.ports_on(tx, name), drain_revision(tx, name)

        hosts, noted, routers, ports, wanted = await self._store.read(read)
        host = next((each for each in hosts if each.name == name), None)
        if host is None:
            raise NotFound(f"Host {name} could not be found.")
        states = [self._states.state(each.name, noted.get(each.name, "")) for each in hosts]
        waiting = [each.host for each in states if each.up and not each.has(wanted)]
        told = self._states.revision >= wanted
        left = [{"id": port.id, "device_owner": port.device_owner, "device_id": port.device_id} for port in ports]
        progress = {"host": name, "drained": host.drained, "routers": routers, "waiting_for": waiting, "ports": left}
        return answer({"drain": {**progress, "done": host.drained and told and not routers and not waiting}})

    async def make_token(self, call: Call, actor: Actor) -> Response:
        """POST: a token with which one host may join once. It is told now and never again."""
        body = await call.json()
        try:
            wanted = msgspec.convert({} if body is None else body, TokenRequest)
        except msgspec.ValidationError as error:
            raise BadRequest(f"A join token can't be made so: {error}.") from None
        secret, lifetime = secrets.token_hex(32), timedelta(seconds=wanted.lifetime_s)

        def make(tx: Tx) -> JoinToken:
            if wanted.collector:
                return create_collector_token(tx, actor, secret, lifetime, wanted.collector)
            return acts.create_join_token(tx, actor, secret, lifetime, wanted.host)

        token = await self._store.write(make, actor)
        return answer({"token": {"secret": secret, "host": token.host, "expires_at": token.expires_at}}, 201)

    async def _all(self, actor: Actor) -> list[dict[str, object]]:
        """With what other controllers noted of them."""

        def read(tx: Tx) -> tuple[list[Host], dict[str, str]]:
            return acts.list_hosts(tx, actor), acts.noted_states(tx)

        hosts, noted = await self._store.read(read)
        return [self._told(host, noted.get(host.name, "")) for host in hosts]

    def _told(self, host: Host, noted: str = "") -> dict[str, object]:
        state = self._states.state(host.name, noted)
        return {
            "name": host.name,
            "tunnel_ip": host.tunnel_ip,
            "physnets": host.physnets,
            "schema": host.schema,
            "joined_at": host.joined_at,
            "drained": host.drained,
            "up": state.up,
            "linked": state.linked,
            "reported_at": state.reported_at,
            "revision": state.revision,
            "lag_revisions": state.lag_revisions,
            "lag_as_of": state.lag_as_of,
            "held": state.held,
            "failures": state.failures,
            "refused_reports": state.refused_reports,
            "drifts": state.drifts,
            "foreign": state.foreign,
            "orphans": state.orphans,
            "clock_offset_s": state.clock_offset_s,
        }
