"""The table of calls."""

from __future__ import annotations

from starlette.responses import Response

from suimon.api.errors import identity_error
from suimon.api.gate import Gate
from suimon.api.policy.execution import Execution
from suimon.api.policy.library import Library
from suimon.api.policy.past import Pasts
from suimon.api.policy.policies import Policies
from suimon.api.policy.pushing import Pushing
from suimon.api.policy.records import Records
from suimon.api.policy.sources import DataSources
from suimon.api.policy.tables import Tables
from suimon.api.routes import Routes
from suimon.api.wire import Call, answer
from suimon.enforcement.flows import Talks
from suimon.enforcement.world import World


class PolicyService:
    """Answers under `/policy`: to operators for the cloud's policies, to others for their project's."""

    dialect = staticmethod(identity_error)

    def __init__(self, gate: Gate, world: World, talks: Talks) -> None:
        policies, tables = Policies(gate, world), Tables(gate, world)
        sources, records, pushing = DataSources(gate, world), Records(gate, world), Pushing(gate)
        library, pasts = Library(gate), Pasts(gate, world, talks)
        self._gate = gate
        self._routes = Routes(
            {
                "GET v1/policies": policies.index,
                "POST v1/policies": policies.create,
                "GET v1/policies/*": policies.show,
                "PUT v1/policies/*": policies.change,
                "POST v1/policies/*": policies.act,
                "DELETE v1/policies/*": policies.delete,
                "GET v1/policies/*/rules": policies.rules,
                "POST v1/policies/*/rules": policies.insert,
                "GET v1/policies/*/rules/*": policies.rule,
                "DELETE v1/policies/*/rules/*": policies.remove,
                "GET v1/policies/*/tables": tables.index,
                "GET v1/policies/*/tables/*": tables.show,
                "GET v1/policies/*/tables/*/rows": tables.rows,
                "GET v1/librarypolicies": library.index,
                "POST v1/librarypolicies": library.create,
                "GET v1/librarypolicies/*": library.show,
                "PUT v1/librarypolicies/*": library.replace,
                "DELETE v1/librarypolicies/*": library.delete,
                "GET v1/data-sources": sources.index,
                "POST v1/data-sources": pushing.create,
                "GET v1/data-sources/*": sources.show,
                "DELETE v1/data-sources/*": pushing.delete,
                "POST v1/data-sources/*": Execution(gate).by_source,
                "POST v1/data-sources/*/webhook": pushing.tell,
                "GET v1/data-sources/*/schema": sources.schema,
                "GET v1/data-sources/*/status": sources.status,
                "GET v1/data-sources/*/actions": sources.actions,
                "GET v1/data-sources/*/tables": sources.tables,
                "GET v1/data-sources/*/tables/*": sources.table,
                "GET v1/data-sources/*/tables/*/spec": sources.spec,
                "GET v1/data-sources/*/tables/*/rows": sources.rows,
                "PUT v1/data-sources/*/tables/*/rows": pushing.replace,
                "POST v1/data-sources/*/tables/*/webhook": pushing.tell_row,
                "GET v1/system/drivers": pushing.drivers,
                "GET v1/system/drivers/*": pushing.driver,
                "POST v1/stop": policies.stop,
                "GET v1/violations": records.violations,
                "GET v1/violations/*": records.violation,
                "GET v1/evaluations": records.evaluations,
                "GET v1/calls": records.calls,
                "POST v1/policies/*/replay": pasts.replay,
                "GET v1/past/*/*": pasts.rows,
                "GET v1/history": records.history,
            }
        )

    async def answer(self, call: Call) -> Response:
        """Raises what the handlers raise."""
        if not call.segments and call.method in ("GET", "HEAD"):
            links = [{"rel": "self", "href": f"{call.origin}/policy/v1"}]
            version = {"id": "v1", "status": "CURRENT", "updated": "2013-08-12T17:42:13Z", "links": links}
            return answer({"versions": [version]})
        actor = await self._gate.actor(call)
        handler, ids = self._routes.find(call.method, call.segments)
        return await handler(call, actor, *ids)
