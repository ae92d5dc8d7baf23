"""Who talks with whom, as tables: what collectors kept of the last minutes, or of a time that is past.

`flows` has of each port the services that it used or offered, `flow_peers` the largest peers of each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from ssl import SSLContext
from typing import Final, NamedTuple

import msgspec
import structlog

from suimon.enforcement.gathering import Batch
from suimon.enforcement.insides import Insides
from suimon.model.collectors import MOST_TALK, Peer, Service, Talk, TalkAsked, Window
from suimon.model.errors import BadRequest, Unavailable
from suimon.model.fact_tables import Reading, Row, Unread
from suimon.policy.facts import OURS, OUTSIDE
from suimon.resources.collectors import list_collectors
from suimon.store.store import Store
from suimon.telemetry.asking import ask_all

SERVICES: Final = "flows"
PEERS: Final = "flow_peers"
WINDOW_S: Final = 300
"""What a row is about, up to when it was read."""
_OTHERWISE: Final = "A collector of flow records says something else than was asked for."
log = structlog.get_logger()


class Said(NamedTuple):
    """Windows in order, each as the rows of both tables; how many services are in none of them; and from when on all
    collectors have records (None: one has none).
    """

    windows: list[dict[str, list[Row]]]
    left_out: int
    since_s: int | None


class Talks:
    """The collectors; `tls` has whom to trust over https, instead of the system's."""

    def __init__(self, store: Store, tls: SSLContext | None = None) -> None:
        self._store = store
        self._tls = tls

    async def windows(self, since_s: int, many: int = 1, most: int = MOST_TALK, project_id: str = "") -> Said:
        """So many windows from then on, `most` rows of each table, of a project's ports or all. Raises Unavailable when
        a collector can't say.
        """
        collectors = await self._store.read(list_collectors)
        if not collectors:
            raise Unavailable("No collector of flow records has joined.")
        asked = TalkAsked(since_s, many, WINDOW_S, most, project_id)
        try:
            told, missing = await ask_all(collectors, "talk", asked, Talk, self._tls)
        except BadRequest as error:
            raise Unavailable(f"A collector of flow records can't say: {error.message}.") from None
        if missing:
            raise Unavailable(f"Collectors of flow records don't answer: {', '.join(missing)}.")
        if any(len(one.windows) != many for one in told):
            raise Unavailable(_OTHERWISE)
        windows = [_merged(parts) for parts in zip(*(one.windows for one in told), strict=True)]
        ports = {peer.port_id for window in windows for peer in window.peers}
        insides = await self._store.read(lambda tx: Insides(tx, ports))
        kept = [one.kept_since_s for one in told if one.kept_since_s is not None]
        try:
            rows = [_rows(window, insides) for window in windows]
        except ValueError:
            raise Unavailable(_OTHERWISE) from None
        return Said(rows, sum(one.left_out for one in windows), max(kept) if len(kept) == len(told) else None)


class FlowsConfig(msgspec.Struct, frozen=True):
    """`late_s`: what ended so recently may not have come yet."""

    every_s: float = 60.0
    late_s: float = 5.0


class Flows:
    """A `gathering.Source`: both tables, of the last `WINDOW_S`, or neither while a collector is away."""

    named = (f"{OURS}:{SERVICES}", f"{OURS}:{PEERS}")

    def __init__(self, config: FlowsConfig, talks: Talks, clock: Callable[[], float]) -> None:
        self._config = config
        self._talks = talks
        self._clock = clock

    async def read(self) -> Sequence[Batch]:
        """Raises Unavailable when the store is away."""
        since_s = max(round(self._clock() - self._config.late_s) - WINDOW_S, 0)
        try:
            said = await self._talks.windows(since_s)
        except Unavailable as error:
            return [[Unread(source=OURS, name=name, problem=error.message) for name in (SERVICES, PEERS)]]
        if said.left_out:
            log.info("flow_facts_cut", since_s=since_s, services_left_out=said.left_out)
        age_s = round(self._config.every_s * 3)
        return [
            [
                Reading(source=OURS, name=name, columns=OUTSIDE[OURS][name], rows=held, max_age_s=age_s)
                for name, held in said.windows[0].items()
            ]
        ]

    def pause_s(self) -> float:
        return self._config.every_s


def _merged(parts: Sequence[Window]) -> Window:
    """Of each port and direction, what the collector says that knows most of it: others have the same packets."""
    known: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(parts))
    for place, part in enumerate(parts):
        for one in part.services:
            known[one.port_id, one.direction][place] += one.bytes
    best = {whose: seen.index(max(seen)) for whose, seen in known.items()}
    return Window(
        parts[0].until_s,
        tuple(one for place, part in enumerate(parts) for one in part.services if _is_best(best, one, place)),
        tuple(one for place, part in enumerate(parts) for one in part.peers if _is_best(best, one, place)),
        sum(part.left_out for part in parts),
    )


def _is_best(best: Mapping[tuple[str, str], int], one: Service | Peer, place: int) -> bool:
    return best.get((one.port_id, one.direction)) == place


def _rows(window: Window, insides: Insides) -> dict[str, list[Row]]:
    def peers() -> Iterable[Row]:
        for one in window.peers:
            *key, answered, records, packets, volume = msgspec.structs.astuple(one)
            yield (*key, insides.outside(one.port_id, one.address), answered, records, packets, volume)

    return {SERVICES: [msgspec.structs.astuple(one) for one in window.services], PEERS: list(peers())}
