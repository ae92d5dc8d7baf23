"""What ports sent and got: sums, rates and the 95th percentile, for operators and, of his own ports, for a tenant."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.wire import Call, answer, time_of
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Unavailable
from suimon.model.samples import Sample
from suimon.resources.metering import counted_by
from suimon.telemetry.meter.database import Trouble
from suimon.telemetry.meter.history import READ, ROLLED, History
from suimon.telemetry.meter.ledger import FIGURES
from suimon.telemetry.meter.meters import Meters
from suimon.telemetry.meter.usage import Step, percentiles, steps, totals

_SUBJECTS: Final = {
    "port_id": "port",
    "project_id": "project",
    "network_id": "network",
    "metering_label_id": "metering_label",
}
_WAYS: Final = frozenset({"ingress", "egress"})
_FINEST_S: Final = 10
_MOST_STEPS: Final = 10_000
_FEW_STEPS: Final = 200
_DAY_S: Final = 86400.0


class Usage:
    """The handler of `/operations/v1/usage`."""

    def __init__(self, gate: Gate, meters: Meters | None) -> None:
        self._store = gate.store
        self._meters = meters

    async def show(self, call: Call, actor: Actor) -> Response:
        """GET, with one of `port_id`, `project_id`, `network_id`, `metering_label_id`; `since` and `until` (ISO 8601 or
        seconds since 1970) and `step` (seconds), to multiples of which both are widened. A tenant gets what his own
        project's ports had.
        """
        if self._meters is None:
            raise Unavailable("This controller doesn't meter.")
        asked = dict(call.query())
        kind, subject = shown = _subject(asked, actor)
        ways, uncounted = _WAYS, None
        if kind == "metering_label":
            label, ways, uncounted = await self._store.read(lambda tx: counted_by(tx, actor, shown[1]))
            subject = "" if label.shared else label.project_id
        since_s, until_s, step_s = _window(asked, now_s := self._meters.now_s())
        wanted = partial(_found, subject=subject, window=(since_s, until_s, step_s), now_s=now_s)
        try:
            found = await self._meters.ask(wanted)
        except Trouble as error:
            raise Unavailable("The database of what was metered can't be read now.") from error
        if not actor.admin:
            found = [each for each in found if each.project_id == actor.viewer]
        taken = steps(found, since_s, until_s, step_s)
        if kind == "metering_label":
            taken = [_only_outside(each, ways) for each in taken]
        return answer(
            {
                "usage": {
                    "kind": kind,
                    "id": shown[1],
                    "since": _text(since_s),
                    "until": _text(until_s),
                    "step_s": step_s,
                    "total": totals(taken),
                    "percentile_95": percentiles(taken),
                    "steps": [_step(each) for each in taken],
                    **({} if uncounted is None else {"uncounted_rules": uncounted}),
                }
            }
        )


def _subject(asked: Mapping[str, str], actor: Actor) -> tuple[str, str]:
    """Empty for everything, which is an operator's."""
    given = [name for name in _SUBJECTS if asked.get(name)]
    if len(given) > 1 or asked.keys() - {*_SUBJECTS, "since", "until", "step"}:
        raise BadRequest(
            "Ask for one of port_id, project_id, network_id, metering_label_id, with since, until and step."
        )
    if given:
        return _SUBJECTS[given[0]], asked[given[0]]
    return ("all", "") if actor.admin else ("project", actor.project_id)


def _window(asked: Mapping[str, str], now_s: float) -> tuple[float, float, int]:
    until_s = time_of(asked, "until", now_s)
    since_s = time_of(asked, "since", until_s - _DAY_S)
    lasts_s = max(until_s - since_s, 1.0)
    step_s = next((each for each in (_FINEST_S, *ROLLED) if lasts_s / each <= _FEW_STEPS), int(_DAY_S))
    text = asked.get("step", str(step_s))
    if not text.isascii() or not text.isdigit() or len(text) > 8 or int(text) < _FINEST_S or int(text) % _FINEST_S:
        raise BadRequest(f"`step` is a number of seconds, a multiple of {_FINEST_S}.")
    step_s = int(text)
    since_s, until_s = since_s // step_s * step_s, -(-until_s // step_s) * step_s
    if not 0 < (until_s - since_s) / step_s <= _MOST_STEPS:
        raise BadRequest(f"Between `since` and `until` there must be 1 to {_MOST_STEPS} steps.")
    return since_s, until_s, step_s


def _found(history: History, *, subject: str, window: tuple[float, float, int], now_s: float) -> list[Sample]:
    """Raises BadRequest for what is kept no more in such steps."""
    since_s, until_s, step_s = window
    coarsest_s = next((grain for grain in reversed(ROLLED) if step_s % grain == 0), READ)
    if since_s < now_s - history.config.kept_s(coarsest_s) - step_s:
        longer = [grain for grain in ROLLED if since_s >= now_s - history.config.kept_s(grain)]
        advice = f"ask in steps of {longer[0]} s" if longer else "it is too long ago"
        raise BadRequest(f"What passed then is not kept in steps of {step_s} s any more: {advice}.")
    return history.samples(subject, since_s, until_s, coarsest_s)


def _only_outside(step: Step, ways: frozenset[str]) -> Step:
    """What a label counts: through routers, in the directions of its rules, as Neutron has them."""
    counted = {"ingress": "in_outside", "egress": "out_outside"}
    names = tuple(counted[way] for way in ways)
    sums = (each if name.startswith(names) else 0 for name, each in zip(FIGURES, step.sums, strict=True))
    return Step(step.begun_s, step.ended_s, tuple(sums))


def _step(step: Step) -> dict[str, Any]:
    return {
        "begun": _text(step.begun_s),
        "ended": _text(step.ended_s),
        **dict(zip(FIGURES, step.sums, strict=True)),
    }


def _text(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat().replace("+00:00", "Z")
