"""Hypervisors as Neutron's API knows them: three agents each, which are one program here.

Every hypervisor forwards, routes and answers DHCP for the guests that it has, so each of its agents serves every router
or network that an operator didn't take away from it. What he says here is kept and shown; where packets go doesn't
depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.checks import having, schema_of, takes, uuid
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.query import Query, cut
from suimon.model.specs.installation import AGENT, AGENT_TYPES
from suimon.model.things import Agent, Host, Network, Router, Thing
from suimon.model.view import TUNNELS
from suimon.resources.collection import require_revision
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import RULES, permits, require, require_act
from suimon.resources.resource import Asked, View, Views
from suimon.resources.routers import ROUTERS
from suimon.store.tx import Tx

SPEC: Final = AGENT.governed_by(RULES)
SEEN_WITHIN: Final = timedelta(seconds=75)
"""A host that was heard of this recently is alive (Neutron's agent_down_time)."""
_FAMILY: Final = UUID("5b0fdb2e-7d51-57a1-9c5c-3a3f6f4a9a61")
"""The UUID namespace in which a host's name and an agent's type become its id (RFC 9562, section 5.5)."""


class _Kind(msgspec.Struct, frozen=True):
    """`serves` is what it can be asked to serve, `word` what Neutron calls one of these in its rules."""

    binary: str
    topic: str
    serves: type[Thing] | None = None
    word: str = ""


_KINDS: Final = dict(
    zip(
        AGENT_TYPES,
        (
            _Kind("neutron-openvswitch-agent", "N/A"),
            _Kind("neutron-l3-agent", "l3_agent", Router, "l3-router"),
            _Kind("neutron-dhcp-agent", "dhcp_agent", Network, "dhcp-network"),
        ),
        strict=True,
    )
)


def list_agents(tx: Tx, actor: Actor, query: Query) -> list[Shown]:
    """For operators; nothing for others."""
    return cut(SPEC, _all(tx), query) if permits(actor, "get_agent") else []


def get_agent(tx: Tx, actor: Actor, id_: str) -> Shown:
    """Raises NotFound."""
    found = [shown for shown in _all(tx) if shown.id == id_] if permits(actor, "get_agent") else []
    if not found:
        raise NotFound(f"Agent {id_} could not be found.", "AgentNotFound")
    return found[0]


def update_agent(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Shown:
    """Raises NotFound, Forbidden."""
    agent = _agent(get_agent(tx, actor, id_))
    require_act(actor, "update_agent", SPEC, wanted, Target(""))
    require_revision(agent, expected_revision)
    values = {**wanted, "description": wanted.get("description") or ""} if "description" in wanted else wanted
    _keep(tx, agent, **values)
    return get_agent(tx, actor, id_)


def delete_agent(tx: Tx, actor: Actor, id_: str, _expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, and Conflict while its hypervisor is one of ours: it is removed as a host."""
    agent = _agent(get_agent(tx, actor, id_))
    require(actor, "delete_agent", Target(""))
    raise Conflict(f"Agent {id_} is part of host {agent.host}: remove the host.", "AgentInUse")


def served_by(tx: Tx, actor: Actor, asked: Asked, serves: type[Thing]) -> dict[str, object]:
    """GET /agents/ID/l3-routers or dhcp-networks: what the agent serves. Raises NotFound, Forbidden, BadRequest."""
    agent = _scheduled(tx, actor, asked.ids[0], serves)
    require(actor, f"get_{_KINDS[agent.agent_type].word}s", Target(""))
    collection = ROUTERS if serves is Router else NETWORKS
    found = [shown for shown in collection.page(tx, actor, Query()) if _serves(agent, shown.id)]
    return {collection.spec.plural: [collection.spec.render(shown, actor) for shown in found]}


@takes(having({"router_id": schema_of(uuid), "network_id": schema_of(uuid)}))
def serve(tx: Tx, actor: Actor, asked: Asked, serves: type[Thing]) -> object:
    """POST there: it serves this one, too. Raises NotFound, Forbidden, BadRequest, and Conflict if it did already."""
    agent = _scheduled(tx, actor, asked.ids[0], serves)
    require(actor, f"create_{_KINDS[agent.agent_type].word}", Target(""))
    key = "router_id" if serves is Router else "network_id"
    id_ = asked.body.get(key) if isinstance(asked.body, dict) else None
    if not isinstance(id_, str):
        raise BadRequest(f"Unable to find '{key}' in request body")
    _require(tx, serves, id_)
    if _serves(agent, id_) and serves is Network:
        raise Conflict(
            f"The network {id_} has been already hosted by the DHCP Agent {agent.id}.", "NetworkHostedByDHCPAgent"
        )
    unserved = tuple(each for each in agent.unserved if each != id_)
    _keep(tx, agent, unserved=unserved)
    return None


def unserve(tx: Tx, actor: Actor, asked: Asked, serves: type[Thing]) -> object:
    """DELETE one there. Raises NotFound, Forbidden, and Conflict if it didn't serve it."""
    agent = _scheduled(tx, actor, asked.ids[0], serves)
    require(actor, f"delete_{_KINDS[agent.agent_type].word}", Target(""))
    id_ = asked.ids[1]
    _require(tx, serves, id_)
    if not _serves(agent, id_):
        raise Conflict(
            f"The router {id_} is not hosted by L3 agent {agent.id}."
            if serves is Router
            else f"The network {id_} is not hosted by the DHCP agent {agent.id}.",
            "RouterNotHostedByL3Agent" if serves is Router else "NetworkNotHostedByDhcpAgent",
        )
    _keep(tx, agent, unserved=(*agent.unserved, id_))
    return None


def agents_serving(tx: Tx, actor: Actor, asked: Asked, serves: type[Thing]) -> dict[str, object]:
    """GET /routers/ID/l3-agents or /networks/ID/dhcp-agents. Raises NotFound, Forbidden."""
    id_ = asked.ids[0]
    (ROUTERS if serves is Router else NETWORKS).find(tx, actor, id_)
    require(actor, "get_l3-agents" if serves is Router else "get_dhcp-agents", Target(""))
    found = [shown for shown in _all(tx) if _KINDS[_agent(shown).agent_type].serves is serves]
    serving = [shown for shown in found if _serves(_agent(shown), id_)]
    more = {"ha_state": None} if serves is Router else {}
    return {"agents": [{**SPEC.render(shown, actor), **more} for shown in serving]}


def _all(tx: Tx) -> list[Shown]:
    kept = {each.id: each for each in tx.select(Agent)}
    return [_shown(tx, host, kind, kept) for host in tx.select(Host, order=("name",)) for kind in _KINDS]


def _shown(tx: Tx, host: Host, agent_type: str, kept: Mapping[str, Agent]) -> Shown:
    id_ = str(uuid5(_FAMILY, f"{agent_type}/{host.name}"))
    agent = kept.get(id_) or Agent(
        id=id_,
        project_id="",
        host=host.name,
        agent_type=agent_type,
        created_at=host.joined_at,
        updated_at=host.joined_at,
    )
    kind = _KINDS[agent_type]
    told: dict[str, object] = {
        "binary": kind.binary,
        "topic": kind.topic,
        "created_at": host.joined_at,
        "started_at": host.joined_at,
        "heartbeat_timestamp": host.seen_at or host.joined_at,
        "alive": host.seen_at is not None and tx.now - host.seen_at < SEEN_WITHIN,
        "availability_zone": tx.settings.availability_zone if kind.serves else None,
        "configurations": _configurations(host, kind),
        "description": agent.description or None,
        "resources_synced": None,
    }
    return Shown(agent, told)


def _configurations(host: Host, kind: _Kind) -> dict[str, object]:
    """What Nova and operators' scripts read of it: how the host is wired."""
    if kind.serves is Router:
        return {"agent_mode": "dvr_snat"}
    if kind.serves is Network:
        return {"dhcp_driver": "suimon"}
    return {
        "bridge_mappings": {physnet: f"br-{physnet}" for physnet in host.physnets},
        "tunnel_types": list(TUNNELS) if host.tunnel_ip else [],
        "tunneling_ip": host.tunnel_ip,
        "integration_bridge": "br-int",
        "datapath_type": "",
    }


def _agent(shown: Shown) -> Agent:
    assert isinstance(shown.thing, Agent)
    return shown.thing


def _serves(agent: Agent, id_: str) -> bool:
    return agent.admin_state_up and id_ not in agent.unserved


def _scheduled(tx: Tx, actor: Actor, id_: str, serves: type[Thing]) -> Agent:
    """The agent, if it serves such things. Raises NotFound, BadRequest."""
    agent = _agent(get_agent(tx, actor, id_))
    if _KINDS[agent.agent_type].serves is not serves:
        kind = "L3" if serves is Router else "DHCP"
        raise BadRequest(f"Agent {id_} is not a {kind} Agent or has been disabled", f"Invalid{kind}Agent")
    return agent


def _require(tx: Tx, serves: type[Thing], id_: str) -> None:
    if tx.get(serves, id_) is None:
        raise (ROUTERS if serves is Router else NETWORKS).missing(id_)


def _keep(tx: Tx, agent: Agent, **values: object) -> None:
    """Operators say something of few agents: those have a row."""
    if tx.get(Agent, agent.id) is None:
        tx.insert(agent)
    tx.change(agent, **values)


VIEWS: Final[Views] = {
    "GET {}/l3-routers": View(partial(served_by, serves=Router)),
    "POST {}/l3-routers": View(partial(serve, serves=Router), 201),
    "DELETE {}/l3-routers/{}": View(partial(unserve, serves=Router), 204),
    "GET {}/dhcp-networks": View(partial(served_by, serves=Network)),
    "POST {}/dhcp-networks": View(partial(serve, serves=Network), 201),
    "DELETE {}/dhcp-networks/{}": View(partial(unserve, serves=Network), 204),
}
ROUTER_VIEWS: Final[Views] = {"GET {}/l3-agents": View(partial(agents_serving, serves=Router))}
NETWORK_VIEWS: Final[Views] = {"GET {}/dhcp-agents": View(partial(agents_serving, serves=Network))}
"""Below the collections that the agents serve."""
