"""`GET /metrics`, in Prometheus's text format (version 0.0.4): what was metered as counters, how detectors do, and what
waits for people.

What was metered is by project and host, so that there are no more series than that; of the ports of one host, if a
scraper asks for `?host=NAME`. Whoever shows the token that the operator made for it, or is an admin, is answered;
by `POST /metrics/read` he reads what was metered earlier (`remote_read`).
"""

import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from starlette.responses import Response

from suimon.api.errors import MISSING, identity_error
from suimon.api.gate import Gate
from suimon.api.remote_read import RemoteRead
from suimon.api.wire import Call
from suimon.detection.engine import Tally
from suimon.model.errors import Forbidden, NotFound, Unavailable
from suimon.resources.breaker import breaker
from suimon.resources.collectors import list_collectors
from suimon.resources.incidents import count_waiting
from suimon.store.tx import Tx
from suimon.telemetry.meter.database import Trouble
from suimon.telemetry.meter.history import History
from suimon.telemetry.meter.ledger import FIGURES, HostHead
from suimon.telemetry.meter.meters import Meters

_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    dialect = staticmethod(identity_error)

    def __init__(
        self, gate: Gate, meters: Meters, token: str = "", detectors: Callable[[], Mapping[str, Tally]] = dict
    ) -> None:
        """`detectors` are those of this process."""
        self._gate = gate
        self._detectors = detectors
        self._meters = meters
        self._token = token
        self._history = RemoteRead(meters)

    async def answer(self, call: Call) -> Response:
        """Raises NotFound, Forbidden, and what the gate raises."""
        reads_history = (call.segments, call.method) == (("read",), "POST")
        if not reads_history and (call.segments or call.method not in ("GET", "HEAD")):
            raise NotFound(MISSING)
        await self._admit(call)
        if reads_history:
            return await self._history.answer(call)
        try:
            heads: Mapping[str, HostHead] | None = await self._meters.ask(History.heads)
        except Trouble:
            heads = None
        well = heads is not None and not self._meters.trouble
        lines = ["# TYPE suimon_metering_up gauge", f"suimon_metering_up {int(well)}"]
        lines += _of_detectors(self._detectors())
        with suppress(Unavailable):
            lines += await self._gate.store.read(_of_people)
        host = dict(call.query()).get("host", "")
        return Response("\n".join([*lines, *_lines(heads or {}, host), ""]), media_type=_TYPE)

    async def _admit(self, call: Call) -> None:
        scheme, _, shown = call.header("authorization").partition(" ")
        if self._token and scheme.lower() == "bearer" and hmac.compare_digest(shown.encode(), self._token.encode()):
            return
        if not (await self._gate.actor(call)).admin:
            raise Forbidden("Only operators may see what all projects use.")


def _lines(heads: Mapping[str, HostHead], host: str) -> Iterator[str]:
    if host:
        ports = heads[host].ports if host in heads else {}
        series = [({"host": host, "port": name}, each.metered) for name, each in sorted(ports.items()) if not each.gone]
        prefix = "suimon_port"
    else:
        totals = (
            (name, project, sums) for name, head in heads.items() for project, sums in sorted(head.totals.items())
        )
        series = [({"host": name, "project": project}, sums) for name, project, sums in totals]
        prefix = "suimon_project"
    for at, figure in enumerate(FIGURES):
        name = f"{prefix}_{figure}_total"
        yield f"# TYPE {name} counter"
        for labels, sums in series:
            shown = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
            yield f"{name}{{{shown}}} {sums[at]}"


def _of_detectors(tallies: Mapping[str, Tally]) -> Iterator[str]:
    for name, figure in (("suimon_detector_faults_total", "faults"), ("suimon_findings_untold_total", "untold")):
        yield f"# TYPE {name} counter"
        for detector, tally in sorted(tallies.items()):
            yield f'{name}{{detector="{detector}"}} {getattr(tally, figure)}'


def _of_people(tx: Tx) -> list[str]:
    """What somebody should look at: whether the breaker is open, what waits for an answer, who is silent."""
    state = breaker(tx)
    heard = [
        f'suimon_collector_heard_timestamp_seconds{{collector="{one.name}"}} {one.heard_at.timestamp()}'
        for one in list_collectors(tx)
        if one.heard_at
    ]
    return [
        *("# TYPE suimon_breaker_open gauge", f"suimon_breaker_open {int(bool(state and state.is_open))}"),
        *("# TYPE suimon_incidents_waiting gauge", f"suimon_incidents_waiting {count_waiting(tx)}"),
        *("# TYPE suimon_collector_heard_timestamp_seconds gauge", *heard),
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
