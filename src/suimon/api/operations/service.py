"""The table of our own calls."""

from ssl import SSLContext

from starlette.responses import Response

from suimon.api.errors import identity_error
from suimon.api.gate import Gate
from suimon.api.operations.allowance import Allowance
from suimon.api.operations.automation import Automation
from suimon.api.operations.comparison import Comparer
from suimon.api.operations.drops import Drops
from suimon.api.operations.flow_records import FlowRecords
from suimon.api.operations.hosts import Hosts, HostStates
from suimon.api.operations.incidents import Incidents
from suimon.api.operations.months import UsageMonths
from suimon.api.operations.probing import Prober
from suimon.api.operations.reachability import Reachability
from suimon.api.operations.readiness import Readiness
from suimon.api.operations.restrictions import Restrictions
from suimon.api.operations.usage import Usage
from suimon.api.routes import Handler, Routes
from suimon.api.wire import Call
from suimon.distribution.inquiry import Questions
from suimon.telemetry.meter.meters import Meters


class OperationsService:
    """Answers under `/operations`: for admins, and to tenants about their ports and what binds them."""

    dialect = staticmethod(identity_error)

    def __init__(
        self,
        gate: Gate,
        states: HostStates,
        questions: Questions | None = None,
        meters: Meters | None = None,
        collectors_tls: SSLContext | None = None,
    ) -> None:
        hosts, readiness, allowance = Hosts(gate, states), Readiness(gate, states), Allowance()
        checks = (Comparer(questions), Prober(questions)) if questions else None
        reachability = Reachability(gate, states, allowance, checks)
        drops = Drops(gate, allowance, questions)
        restrictions, incidents, automation = Restrictions(gate), Incidents(gate), Automation(gate)
        flows = FlowRecords(gate, allowance, collectors_tls)
        self._gate = gate
        self._routes = Routes(
            {
                **_of_hosts(hosts),
                "GET v1/collectors": flows.collectors,
                "DELETE v1/collectors/*": flows.remove,
                "GET v1/flows": flows.ask,
                "GET v1/reachability": reachability.ask,
                "POST v1/reachability": reachability.ask,
                "GET v1/ports/*/readiness": readiness.show,
                "GET v1/ports/*/drops": drops.show,
                **_metered(gate, meters),
                "GET v1/restrictions": restrictions.index,
                "POST v1/restrictions": restrictions.create,
                "POST v1/restrictions/release": restrictions.release_all,
                "GET v1/restrictions/*": restrictions.show,
                "POST v1/restrictions/*/release": restrictions.release,
                "GET v1/findings": incidents.findings,
                "POST v1/findings": incidents.note,
                "GET v1/incidents": incidents.index,
                "GET v1/incidents/*": incidents.show,
                "POST v1/incidents/*/approve": incidents.approve,
                "POST v1/incidents/*/deny": incidents.deny,
                "POST v1/incidents/*/mark": incidents.mark,
                "POST v1/incidents/undo": incidents.undo_all,
                "POST v1/incidents/*/undo": incidents.undo,
                "GET v1/report": incidents.report,
                "GET v1/rulebook": automation.rulebook,
                "PUT v1/rulebook": automation.write,
                "GET v1/rulebook/versions": automation.versions,
                "GET v1/rulebook/versions/*": automation.version,
                "GET v1/breaker": automation.breaker,
                "POST v1/breaker/close": automation.close,
                "POST v1/breaker/open": automation.open,
                "GET v1/subscribers": automation.subscribers,
                "POST v1/subscribers": automation.subscribe,
                "DELETE v1/subscribers/*": automation.unsubscribe,
            }
        )

    async def answer(self, call: Call) -> Response:
        """Raises what the handlers raise."""
        actor = await self._gate.actor(call)
        handler, ids = self._routes.find(call.method, call.segments)
        return await handler(call, actor, *ids)


def _of_hosts(hosts: Hosts) -> dict[str, Handler]:
    return {
        "GET v1/hosts": hosts.index,
        "POST v1/hosts/tokens": hosts.make_token,
        "GET v1/hosts/*": hosts.show,
        "DELETE v1/hosts/*": hosts.remove,
        "GET v1/hosts/*/events": hosts.events,
        "POST v1/hosts/*/accept": hosts.accept,
        "GET v1/hosts/*/drain": hosts.drain_progress,
        "POST v1/hosts/*/drain": hosts.drain,
        "DELETE v1/hosts/*/drain": hosts.undo_drain,
    }


def _metered(gate: Gate, meters: Meters | None) -> dict[str, Handler]:
    usage, months = Usage(gate, meters), UsageMonths(meters)
    return {
        "GET v1/usage": usage.show,
        "GET v1/usage/months": months.index,
        "GET v1/usage/months/*": months.show,
    }
