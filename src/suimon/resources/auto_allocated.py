"""The auto-allocated topology: a network with subnets from the default pools behind a router to the default external
network, made for a project when it first asks.
"""

from __future__ import annotations

from typing import Any, Final

from suimon.model.actor import SYSTEM, Actor
from suimon.model.attributes import Spec, Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.auto_allocated import AUTO_ALLOCATED_TOPOLOGY
from suimon.model.things import AutoAllocatedTopology, Network, Subnet, SubnetPool
from suimon.resources import networks, router_interfaces, routers, subnets
from suimon.resources.persona import RULES, require
from suimon.resources.resource import Asked, Resource, View
from suimon.store.tx import Tx

SPEC: Final = AUTO_ALLOCATED_TOPOLOGY.governed_by(RULES)
DRY_RUN: Final = "dry-run"


def get_topology(tx: Tx, actor: Actor, asked: Asked) -> object:
    """{id, project_id}: the network's id, made if there is none yet; with the field `dry-run` whether it could be.

    Raises Forbidden for another project's, BadRequest for another field, Conflict when there is no default to make it
    of, or no address left.
    """
    project_id = _project(actor, asked, "get_auto_allocated_topology")
    fields = [value for key, value in asked.query if key == "fields"]
    if DRY_RUN in fields:
        _outside(tx)
        if not _pools(tx):
            raise _deployment("No default subnetpools defined")
        return _told("dry-run=pass", project_id)
    if fields:
        raise BadRequest("Bad auto_allocate request: Unrecognized field.", "BadRequest")
    found = tx.get(AutoAllocatedTopology, project_id)
    return _told((found or _make(tx, project_id)).network_id, project_id)


def delete_topology(tx: Tx, actor: Actor, asked: Asked) -> object:
    """Everything that was made for the project, if anything was. Raises Forbidden, Conflict while it is in use."""
    project_id = _project(actor, asked, "delete_auto_allocated_topology")
    found = tx.get(AutoAllocatedTopology, project_id)
    if found is None:
        return None
    for subnet in tx.select(Subnet, {"network_id": found.network_id}):
        router_interfaces.remove_router_interface(tx, SYSTEM, found.router_id, {"subnet_id": subnet.id})
    tx.delete(found)
    routers.delete_router(tx, SYSTEM, found.router_id)
    networks.delete_network(tx, SYSTEM, found.network_id)
    return None


def _make(tx: Tx, project_id: str) -> AutoAllocatedTopology:
    outside, pools = _outside(tx), _pools(tx)
    if not pools:
        raise _deployment("Unable to provide project private network")
    network = networks.create_network(tx, SYSTEM, _new(networks.SPEC, project_id, name="auto_allocated_network"))
    gateway = {"network_id": outside.id}
    wanted = _new(routers.SPEC, project_id, name="auto_allocated_router", external_gateway_info=gateway)
    (router,) = routers.create_routers(tx, SYSTEM, [wanted])
    for pool in pools:
        version = pool.ip_version
        body = {"network_id": network.id, "ip_version": version, "subnetpool_id": pool.id}
        wanted = _new(subnets.SPEC, project_id, name=f"auto_allocated_subnet_v{version}", **body)
        subnet = subnets.create_subnet(tx, SYSTEM, wanted)
        router_interfaces.add_router_interface(tx, SYSTEM, router.id, {"subnet_id": subnet.id})
    made = AutoAllocatedTopology(project_id=project_id, network_id=network.id, router_id=router.id)
    tx.insert(made)
    return made


def _new(spec: Spec, project_id: str, **body: object) -> dict[str, Any]:
    return spec.for_create({"project_id": project_id, **body}, SYSTEM)


def _project(actor: Actor, asked: Asked, act: str) -> str:
    """Whose topology: `None` is the caller's own. Raises Forbidden."""
    project_id = actor.project_id if asked.ids[0] == "None" else asked.ids[0]
    require(actor, act, Target(project_id))
    return project_id


def _outside(tx: Tx) -> Network:
    found = tx.select(Network, {"is_default": True}, limit=1)
    if not found:
        raise _deployment("No default router:external network")
    return found[0]


def _pools(tx: Tx) -> list[SubnetPool]:
    return tx.select(SubnetPool, {"is_default": True}, order=("ip_version",))


def _told(id_: str, project_id: str) -> dict[str, object]:
    return {SPEC.singular: {"id": id_, "project_id": project_id, "tenant_id": project_id}}


def _deployment(reason: str) -> Conflict:
    return Conflict(f"Deployment error: {reason}.", "AutoAllocationFailure")


TOPOLOGY: Final = Resource(
    spec=SPEC, views={"GET {}": View(get_topology, writes=True), "DELETE {}": View(delete_topology, 204)}
)
"""For the registry: a project has one, known by the project's id."""
