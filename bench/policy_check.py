"""What policies that forbid add to a call: a port is made with twenty clauses asked before its commit, and with none.

Both in turns, in one cloud of SQLite. What the check itself takes is measured, and the whole act beside it.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from suimon.enforcement.scope import Limits
from suimon.enforcement.world import World
from suimon.model.actor import Actor
from suimon.model.settings import Settings
from suimon.resources import policies
from suimon.resources.persona import hidden_from_projects
from suimon.resources.registry import RESOURCES
from suimon.store import Store, StoreConfig, Tx

GOAL_MS = 1.0
_ADMIN = Actor("bench", "bench", frozenset({"admin"}), "req-bench")
_CLAUSES = 20
_MADE_EACH = 200


def measured(ports: int) -> list[str]:
    """Prints a line; the goals that are missed."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_of_store(Path(folder), ports))


async def _of_store(folder: Path, ports: int) -> list[str]:
    url = f"sqlite:///{folder / 'bench.db'}"
    store = Store(StoreConfig(url, settings=Settings(vnis=((100, 199),), quotas={"port": -1})))
    store.open()
    world, checks = World(hidden_from_projects(), Limits()), list[float]()
    watched = False

    def guard(tx: Tx) -> None:
        began = time.thread_time()
        if watched:
            world.check(tx)
        checks.append(time.thread_time() - began)

    try:
        store.guard(guard)
        network = (await _made(store, "networks", {"name": "n"}))[0]
        await _made(store, "subnets", {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/8"})
        for _ in range(ports // 100):
            await _made(store, "ports", *({"network_id": network} for _ in range(100)))
        clauses = tuple(policies.WantedClause(text=_clause(number)) for number in range(_CLAUSES))
        wanted = policies.Wanted(name="bench", clauses=clauses)
        await store.write(lambda tx: policies.create_policy(tx, _ADMIN, wanted), _ADMIN)
        ways = policies.Ways(mode="enforced", proactive=True)
        await store.write(lambda tx: policies.change_policy(tx, _ADMIN, "bench", ways), _ADMIN)
        took: dict[bool, list[float]] = {False: [], True: []}
        added: list[float] = []
        for number in range(2 * _MADE_EACH):
            watched = bool(number % 2)
            checks.clear()
            began = time.process_time()
            await _made(store, "ports", {"network_id": network})
            if number > 4:  # The first reads the whole cloud.
                took[watched].append(time.process_time() - began)
                added += checks if watched else ()
    finally:
        store.close()
    without, within = (statistics.median(took[each]) * 1000 for each in (False, True))
    check, worst = statistics.median(added) * 1000, sorted(added)[int(0.99 * (len(added) - 1))] * 1000
    print(
        f"a port made, {ports} there: {without:.2f} ms of CPU, {within:.2f} with {_CLAUSES} clauses that forbid; "
        f"their check: median {check:.2f}, p99 {worst:.2f} ms"
    )
    return ["check before a commit"] if check > GOAL_MS else []


def _clause(number: int) -> str:
    """Of joins and absences, as those of the library; none forbids what is made here."""
    bodies = (
        f'neutronv2:ports(id=p, network_id=n, name="{number}"), neutronv2:networks(id=n, shared=true)',
        f'neutronv2:ports(id=p, mac_address=m), not neutronv2:fixed_ips(port_id=p), builtin:equal(m, "{number}")',
        f'neutronv2:security_group_port_bindings(p, g), neutronv2:security_groups(id=g, name="{number}")',
        f'neutronv2:fixed_ips(port_id=p, ip_address=i), builtin:ip_in_network(i, "192.0.2.{number}/32")',
    )
    return f"error(p) :- {bodies[number % len(bodies)]}"


async def _made(store: Store, path: str, *bodies: dict[str, Any]) -> list[str]:
    resource = RESOURCES[path]
    wanted = [resource.spec.for_create(body, _ADMIN) for body in bodies]
    if resource.create_many and len(wanted) > 1:
        shown = await store.write(lambda tx: resource.create_many(tx, _ADMIN, wanted), _ADMIN)  # type: ignore[misc]
    else:
        shown = [await store.write(lambda tx: resource.create(tx, _ADMIN, wanted[0]), _ADMIN)]  # type: ignore[misc]
    return [str(one.thing.id) for one in shown]
