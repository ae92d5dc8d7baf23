"""What passed between two readings of a host: a fold over readings, without clock or database.

A counter that is the same and not smaller has counted the difference; any other one has counted all that it holds,
since it began after the last reading. So nothing is negative, and nothing is there twice: a counter says but once what
it held at a moment. A reading may come after newer ones that another controller was told, and a last one is never
repeated: each counter is compared with what it held before that reading. The flows that count the outside part die with
the switch, which the devices outlive: what passed meanwhile is in the total, and said to be unsplit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import add, attrgetter, sub
from typing import Final, NamedTuple

import msgspec

from suimon.model.counts import Count, Metered, PortCounts, Reading
from suimon.model.samples import Sample
from suimon.telemetry.meter.trunks import NONE, Amounts, Debt, amounts, own, plus

FIGURES: Final = (
    "in_bytes",
    "in_packets",
    "out_bytes",
    "out_packets",
    "in_outside_bytes",
    "in_outside_packets",
    "out_outside_bytes",
    "out_outside_packets",
    "in_unsplit_bytes",
    "out_unsplit_bytes",
)
"""The fields of a sample that are added up."""
_SAME_BIRTH_S: Final = 2.0
_BOOT_LETTERS: Final = 13
_FORGET_S: Final = 30 * 86400.0
"""A port that was not read for so long is another one when it comes back."""
_LATE_S: Final = 3600.0
"""A deleted port is known for so long: what was read of it last may be told to two controllers, and come late."""
_MOST_KNOWN: Final = 4
"""Counters of one kind that are known of a port: what counts now, and what did before."""

_NOTHING: Final = (0,) * len(FIGURES)


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a counter held when it was read last, by the host's clock."""

    count: Count
    clock_s: float


Known = tuple[Seen, ...]
"""Counters of one kind, that which counts now first."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What was read of a port last: when by our clock and by the host's, and how much of the total of `in` and `out`
    (bytes, packets) was not from or to the outside: the switch may still tell that it was, a second later.
    """

    read_s: float
    clock_s: float
    received: Known = ()
    sent: Known = ()
    received_outside: Known = ()
    sent_outside: Known = ()
    slack: Amounts = NONE
    metered: tuple[int, ...] = _NOTHING
    """All that was ever metered of it here, in the order of FIGURES."""
    project_id: str = ""
    network_id: str = ""
    gone: bool = False
    """It was deleted when it was read last."""
    debt: Debt = Debt()
    """What its subports had of what its device counts, and is still to be taken off."""


class HostHead(msgspec.Struct, frozen=True, array_like=True):
    """`totals` is all that was ever metered here, by project, in the order of FIGURES."""

    boot: str = ""
    clock_s: float = 0.0
    ended_s: float = 0.0
    ports: dict[str, Head] = {}
    totals: dict[str, tuple[int, ...]] = {}


class Told(msgspec.Struct, frozen=True):
    """A reading as it came: from which host, when it was made by our clock, and whose ports it speaks of.

    `last`: they are ports whose flows or devices have gone since. One that was deleted is whose it was, until
    then: what its device counts on is nobody's.
    """

    host: str
    reading: Reading
    read_s: float
    ports: Mapping[str, Metered]
    last: bool = False


class _Moment(NamedTuple):
    """Of a reading of one port: its hour by the host's clock; whether it is the last one (`ended`), and others that are
    newer came before it; whether what an unknown counter holds is nobody's, for nobody metered when it began.
    """

    clock_s: float
    ended: bool
    late: bool
    unmetered: bool


def advance(head: HostHead, told: Told, metering_since_s: float) -> tuple[HostHead, tuple[Sample, ...]]:
    """The host's next head, and what passed. The head itself, and nothing, for a reading that is no news.

    What a port's device counted before `metering_since_s`, when nobody metered, is nobody's.
    """
    reading = told.reading
    overtaken = reading.clock_s <= head.clock_s if reading.boot == head.boot else told.read_s <= head.ended_s
    ended_s = max(told.read_s, head.ended_s + 0.002)
    heads = {name: each for name, each in head.ports.items() if each.read_s > ended_s - _kept_s(each)}
    samples, news = [], not overtaken
    for counts in reading.ports:
        last = heads.get(counts.port_id)
        metered = told.ports.get(counts.port_id) or (_deleted(last) if told.last else None)
        if metered is None or (last is None and not metered.bound):
            continue
        now = _of_boot(counts, reading.boot)
        late = overtaken and last is not None and last.clock_s >= reading.clock_s
        if last is not None and ((last.gone and not late) or not _says_more(last, now, reading.clock_s)):
            continue
        plugged_s = ended_s - max(reading.clock_s - counts.plugged_s, 0.0)
        unmetered = (last is None or late) and plugged_s < metering_since_s
        moment = _Moment(reading.clock_s, told.last, late, unmetered)
        begun = last or Head(min(plugged_s, ended_s), counts.plugged_s)
        passed, slack = _passed_of(begun, now, moment)
        if last is not None or not unmetered:
            whose = counts.port_id, metered.project_id, metered.network_id, told.host
            samples.append(Sample(*whose, begun.read_s, ended_s, *passed))
        following = _next(begun, now, moment, (ended_s, slack, added(begun.metered, passed)))
        gone = counts.port_id not in told.ports or begun.gone
        heads[counts.port_id] = msgspec.structs.replace(
            following, project_id=metered.project_id, network_id=metered.network_id, gone=gone, debt=begun.debt
        )
        news = True
    if not news:
        return head, ()
    samples = _apart(heads, samples, {each.port_id: each.parent for each in reading.ports if each.parent})
    of_host = (head.boot, head.clock_s) if overtaken else (reading.boot, reading.clock_s)
    return HostHead(*of_host, ended_s, heads, _totals(head, samples)), tuple(samples)


def _apart(heads: dict[str, Head], samples: Sequence[Sample], parents: Mapping[str, str]) -> list[Sample]:
    """Without what `parents`, by subport, have counted of these; `heads` are changed alike."""
    had: dict[str, Amounts] = {}
    for one in samples:
        if parent := parents.get(one.port_id):
            had[parent] = plus(had.get(parent, NONE), amounts(one))
    kept = []
    for one in samples:
        head = heads[one.port_id]
        mine, debt = own(one, head.debt, had.pop(one.port_id, NONE))
        if mine is not one:
            metered = tuple(map(sub, added(head.metered, figures(mine)), figures(one)))
            heads[one.port_id] = msgspec.structs.replace(head, debt=debt, metered=metered)
        kept.append(mine)
    for parent in had.keys() & heads.keys():
        debt = heads[parent].debt
        heads[parent] = msgspec.structs.replace(heads[parent], debt=Debt(plus(debt.owed, had[parent]), debt.most))
    return kept


figures: Final[Callable[[Sample], tuple[int, ...]]] = attrgetter(*FIGURES)
"""Of a sample, in the order of FIGURES."""


def added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(add, one, other))


def _kept_s(head: Head) -> float:
    return _LATE_S if head.gone else _FORGET_S


def _deleted(last: Head | None) -> Metered | None:
    return Metered(last.project_id, last.network_id, bound=False) if last and last.project_id else None


def _ways(last: Head, now: PortCounts) -> tuple[tuple[Known, Count | None], ...]:
    return (
        (last.received, now.received),
        (last.sent, now.sent),
        (last.received_outside, now.received_outside),
        (last.sent_outside, now.sent_outside),
    )


def _says_more(last: Head, now: PortCounts, clock_s: float) -> bool:
    """Whether any counter was not read since."""
    return any(
        count is not None and ((seen := _seen(known, count)) is None or seen.clock_s < clock_s)
        for known, count in _ways(last, now)
    )


def _passed_of(last: Head, now: PortCounts, at: _Moment) -> tuple[tuple[int, ...], Amounts]:
    received, sent, received_outside, sent_outside = (_passed(known, count, at) for known, count in _ways(last, now))
    total = *received, *sent
    told = *received_outside, *sent_outside
    # What a limit drops behind the flows that count was never delivered: no more is outside than there was.
    before = (0, 0, 0, 0) if at.late else last.slack
    most = [here + slack for here, slack in zip(total, before, strict=True)]
    outside = [min(each, limit) for each, limit in zip(told, most, strict=True)]
    slack = tuple(min(limit - each, here) for limit, each, here in zip(most, outside, total, strict=True))
    ways = ((last.received_outside, now.received_outside, 0), (last.sent_outside, now.sent_outside, 2))
    # Flows tell a second late, and of one that ends there is no next time.
    lost = [at.ended or at.late or _was_lost(known, count, last) for known, count, _ in ways]
    unsplit = [max(total[way] - outside[way], 0) if each else 0 for each, (_, _, way) in zip(lost, ways, strict=True)]
    return (*total, *outside, *unsplit), last.slack if at.late else slack  # type: ignore[return-value]


def _passed(known: Known, now: Count | None, at: _Moment) -> tuple[int, int]:
    """Bytes and packets."""
    if now is None:
        return 0, 0
    seen = _seen(known, now)
    if seen is None:
        # One that is late may be among those that were forgotten.
        forgotten = at.late and len(known) == _MOST_KNOWN
        return (0, 0) if at.unmetered or forgotten else (now.bytes, now.packets)
    if at.clock_s <= seen.clock_s or (at.ended and _fell(seen.count, now)):
        return 0, 0
    if now.bytes >= seen.count.bytes and now.packets >= seen.count.packets:
        return now.bytes - seen.count.bytes, now.packets - seen.count.packets
    return now.bytes, now.packets


def _seen(known: Known, now: Count) -> Seen | None:
    return next((each for each in known if _same(each.count, now)), None)


def _same(last: Count, now: Count) -> bool:
    return last.counter == now.counter and abs(last.born_s - now.born_s) < _SAME_BIRTH_S


def _fell(last: Count, now: Count) -> bool:
    """Half of a pair of devices may have forgotten at its end what came from the other half: that is no new counter."""
    return now.bytes < last.bytes


def _was_lost(known: Known, now: Count | None, head: Head) -> bool:
    """Whether something passed that a flow counted which is gone, or that none did."""
    if now is None:
        return True
    if known:
        last = known[0].count
        other_life = last.counter != now.counter
        return other_life or (not _same(last, now) and now.born_s > head.clock_s - _SAME_BIRTH_S)
    return now.born_s > head.clock_s + _SAME_BIRTH_S


def _next(last: Head, now: PortCounts, at: _Moment, sums: tuple[float, Amounts, tuple[int, ...]]) -> Head:
    """A counter that could not be read is compared with its last value the next time."""
    read_s, slack, metered = sums
    received, sent, received_outside, sent_outside = (_known(each, count, at) for each, count in _ways(last, now))
    clock_s = last.clock_s if at.late else at.clock_s
    return Head(read_s, clock_s, received, sent, received_outside, sent_outside, slack, metered)


def _known(known: Known, now: Count | None, at: _Moment) -> Known:
    """With this one: before the others, or, if newer ones are known, behind the first of them."""
    seen = now and _seen(known, now)
    if now is None or (seen and at.clock_s <= seen.clock_s):
        return known
    held = seen.count if seen and at.ended and _fell(seen.count, now) else now
    others = tuple(each for each in known if each is not seen)
    behind = int(at.late and known[:1] != (seen,))
    return (*others[:behind], Seen(held, at.clock_s), *others[behind:])[:_MOST_KNOWN]


def _of_boot(counts: PortCounts, boot: str) -> PortCounts:
    """Counters of another life of the host are others, whatever their names."""

    def named(count: Count | None) -> Count | None:
        return count and msgspec.structs.replace(count, counter=f"{boot[:_BOOT_LETTERS]} {count.counter}")

    fields = "received", "sent", "received_outside", "sent_outside"
    return msgspec.structs.replace(counts, **{name: named(getattr(counts, name)) for name in fields})


def _totals(head: HostHead, samples: list[Sample]) -> dict[str, tuple[int, ...]]:
    totals = dict(head.totals)
    for sample in samples:
        totals[sample.project_id] = added(totals.get(sample.project_id, _NOTHING), figures(sample))
    return totals
