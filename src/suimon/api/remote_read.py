"""`POST /metrics/read`: Prometheus's remote read of what was metered, for as long as it is kept.

A series is a figure of one port: `suimon_metered_out_bytes{port,project,network,host}`. Its values are amounts, what
passed since the value before, and no counters: sums of them over any time are right, whatever grain is left of it, and
they are other names than those of `/metrics`, so that no join of the two looks like a counter that began anew.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from starlette.responses import Response

from suimon.api.prompb import Matcher, ProtobufError, Query, Series, answered, queries
from suimon.api.snappy import SnappyError, packed, unpacked
from suimon.api.wire import BODY_LIMIT_BYTES, Call
from suimon.model.errors import BadRequest, Unavailable
from suimon.model.samples import Sample
from suimon.telemetry.meter.database import Trouble
from suimon.telemetry.meter.history import READ, ROLLED, History
from suimon.telemetry.meter.ledger import FIGURES
from suimon.telemetry.meter.meters import Meters

_PREFIX: Final = "suimon_metered_"
_WHOSE: Final = {"port": "port_id", "project": "project_id", "network": "network_id", "host": "host"}
"""By label, the field of a sample."""
_FEW: Final = 60
"""Values that a time looked back over has, where so many are kept: it is then right within one of so many parts."""
_LOOK_BACK_MS: Final = 300_000
"""Prometheus's own, where a query doesn't say."""
_MOST_STEPS: Final = 20_000
_MOST_VALUES: Final = 2_000_000
_PLAIN: Final = re.compile(r"(?:[\w:/@ -]|\\[-.+*?()|\[\]{}^$\\]|\.[*+]?|\||\((?:\?:)?|\))*")
"""The regular expressions that are matched: others may take for ever, which Prometheus's own don't (RE2)."""
_WILD: Final = re.compile(r"\.[*+]")
_MOST_WILD: Final = 4
_MOST_GROUPS: Final = 2
_LONGEST: Final = 4000
Judge = Callable[[str], bool]


class RemoteRead:
    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    async def answer(self, call: Call) -> Response:
        """Raises BadRequest, Unavailable, and what reading a body raises."""
        try:
            asked = queries(unpacked(await call.body(), BODY_LIMIT_BYTES))
        except (SnappyError, ProtobufError) as error:
            raise BadRequest(f"This is no request of Prometheus's remote read: {error}.") from error
        try:
            told = [await self._meters.ask(partial(_found, query=each, now_s=self._meters.now_s())) for each in asked]
        except Trouble as error:
            raise Unavailable("The database of what was metered can't be read now.") from error
        headers = {"Content-Encoding": "snappy"}
        return Response(packed(answered(told)), headers=headers, media_type="application/x-protobuf")


def _found(history: History, *, query: Query, now_s: float) -> list[Series]:
    """Raises BadRequest for more than can be told."""
    judges = [(each.name, _judge(each)) for each in query.matchers]
    named = [judge for name, judge in judges if name == "__name__"]
    figures = [name for name in FIGURES if all(judge(_PREFIX + name) for judge in named)]
    if not figures or query.end_ms < query.start_ms:
        return []
    grain_s = _grain(history, query, now_s)
    unit_s = grain_s or 1
    since_s, until_s = query.start_ms / 1000 // unit_s * unit_s, -(-query.end_ms / 1000 // unit_s) * unit_s
    if (until_s - since_s) / max(unit_s, 10) > _MOST_STEPS:
        raise BadRequest(f"That are more than {_MOST_STEPS} values of each port: ask for a shorter time.")
    samples = history.samples(_subject(query.matchers), since_s, until_s, grain_s)
    return [*_told(samples, figures, [each for each in judges if each[0] != "__name__"], query)]


def _grain(history: History, query: Query, now_s: float) -> int:
    """The coarsest that gives enough values, else the finest that is still kept."""
    looked_s = (query.range_ms or query.step_ms or _LOOK_BACK_MS) / 1000
    fine = next((grain for grain in reversed(ROLLED) if grain * _FEW <= looked_s), READ)
    kept = (grain for grain in (READ, *ROLLED) if query.start_ms / 1000 >= now_s - history.config.kept_s(grain))
    return max(fine, next(kept, ROLLED[-1]))


def _subject(matchers: Iterable[Matcher]) -> str:
    """Nobody else's rows are read for it."""
    exact = {each.name: each.value for each in matchers if each.kind == 0}
    return next((exact[name] for name in ("port", "network", "project") if exact.get(name)), "")


def _told(
    samples: Iterable[Sample], figures: Iterable[str], judges: Iterable[tuple[str, Judge]], query: Query
) -> Iterable[Series]:
    of: dict[tuple[str, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        if query.start_ms <= round(sample.ended_s * 1000) <= query.end_ms:
            of[tuple(getattr(sample, field) for field in _WHOSE.values())].append(sample)
    count = 0
    for whose, own in sorted(of.items()):
        labels = dict(zip(_WHOSE, whose, strict=True))
        if not all(judge(labels.get(name, "")) for name, judge in judges):
            continue
        own.sort(key=lambda each: each.ended_s)
        for figure in figures:
            count += len(own)
            if count > _MOST_VALUES:
                raise BadRequest(f"That are more than {_MOST_VALUES} values: ask for a shorter time, or for less.")
            values = [(round(each.ended_s * 1000), float(getattr(each, figure))) for each in own]
            yield {"__name__": _PREFIX + figure, **labels}, values


def _judge(matcher: Matcher) -> Judge:
    """Raises BadRequest for a regular expression that isn't plain."""
    if matcher.kind < 2:
        return lambda value: (value == matcher.value) == (matcher.kind == 0)
    pattern = matcher.value
    few = len(_WILD.findall(pattern)) <= _MOST_WILD and pattern.count("(") <= _MOST_GROUPS
    try:
        if len(pattern) > _LONGEST or not few or not _PLAIN.fullmatch(pattern):
            raise re.error("not plain")
        way = re.compile(pattern, re.DOTALL)
    except re.error:
        raise BadRequest(
            f"A regular expression here has texts, `|`, {_MOST_WILD} `.*` or `.+` and {_MOST_GROUPS} groups at most."
        ) from None
    return lambda value: (way.fullmatch(value) is not None) == (matcher.kind == 2)
