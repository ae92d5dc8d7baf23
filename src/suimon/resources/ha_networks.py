"""The network that a project has in Neutron while it has HA routers, over which their instances watch each other.

Suimon's routers are in the flows of each host that needs them, and watch nothing. Operators and their tools find the
network by its name, and it takes a segment as theirs does.
"""

from __future__ import annotations

from collections.abc import Collection

from suimon.model.actor import SYSTEM
from suimon.model.specs.networks import NETWORK
from suimon.model.things import Network, Router
from suimon.resources.networks import create_network, delete_network
from suimon.store.tx import Tx


def keep(tx: Tx, projects: Collection[str]) -> None:
    """Each of these projects has it if, and only if, one of its routers is an HA router."""
    for project_id in projects:
        name = f"HA network project {project_id}"
        there = tx.select(Network, {"project_id": "", "name": name}, limit=1)
        needed = tx.select(Router, {"project_id": project_id, "ha": True}, limit=1)
        if needed and not there:
            create_network(tx, SYSTEM, NETWORK.for_create({"name": name, "project_id": ""}, SYSTEM))
        if there and not needed:
            delete_network(tx, SYSTEM, there[0].id)
