"""What passed between two readings of a host: a fold over readings, without clock or database.

A counter that is the same and not smaller has counted the difference; any other one has counted all that it holds,
since it began after the last reading. So nothing is negative, and nothing is there twice: a reading that was told twice
is no news. The flows that count the outside part die with the switch, which the devices outlive: what passed meanwhile
is in the total, and said to be unsplit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from suimon.model.counts import Count, Metered, PortCounts, Reading
from suimon.model.samples import Sample

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


_NOTHING: Final = (0,) * len(FIGURES)


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What was read of a port last: when by our clock and by the host's, and how much of the total of `in` and `out`
    (bytes, packets) was not from or to the outside: the switch may still tell that it was, a second later.
    """

    read_s: float
    clock_s: float
    received: Count | None = None
    sent: Count | None = None
    received_outside: Count | None = None
    sent_outside: Count | None = None
    slack: tuple[int, int, int, int] = (0, 0, 0, 0)
    metered: tuple[int, ...] = _NOTHING
    """All that was ever metered of it here, in the order of FIGURES."""
    project_id: str = ""
    network_id: str = ""


class HostHead(msgspec.Struct, frozen=True, array_like=True):
    """`totals` is all that was ever metered here, by project, in the order of FIGURES."""

    boot: str = ""
    clock_s: float = 0.0
    ended_s: float = 0.0
    ports: dict[str, Head] = {}
    totals: dict[str, tuple[int, ...]] = {}


class Told(msgspec.Struct, frozen=True):
    """A reading as it came: from which host, when it was made by our clock, and whose ports it speaks of.

    `last`: they are ports whose flows or devices have gone since. One that was deleted is whose it was, once.
    """

    host: str
    reading: Reading
    read_s: float
    ports: Mapping[str, Metered]
    last: bool = False


def advance(head: HostHead, told: Told, metering_since_s: float) -> tuple[HostHead, tuple[Sample, ...]]:
    """The host's next head, and what passed. The head itself, and nothing, for a reading that is no news.

    What a port's device counted before `metering_since_s`, when nobody metered, is nobody's.
    """
    reading = told.reading
    repeated = reading.boot == head.boot and reading.clock_s <= head.clock_s
    if repeated or (reading.boot != head.boot and told.read_s <= head.ended_s):
        return head, ()
    ended_s = max(told.read_s, head.ended_s + 0.002)
    heads = {name: each for name, each in head.ports.items() if each.read_s > ended_s - _FORGET_S}
    samples = []
    for counts in reading.ports:
        last = heads.get(counts.port_id)
        metered = told.ports.get(counts.port_id) or (_deleted(last) if told.last else None)
        if metered is None or (last is None and not metered.bound):
            continue
        plugged_s = ended_s - max(reading.clock_s - counts.plugged_s, 0.0)
        now = _of_boot(counts, reading.boot)
        if last is None and plugged_s < metering_since_s:
            first = Head(ended_s, reading.clock_s, now.received, now.sent, now.received_outside, now.sent_outside)
            heads[counts.port_id] = _of(first, metered)
            continue
        begun = last or Head(min(plugged_s, ended_s), counts.plugged_s)
        passed, slack = _passed_of(begun, now, ended=told.last)
        whose = counts.port_id, metered.project_id, metered.network_id, told.host
        samples.append(Sample(*whose, begun.read_s, ended_s, *passed))
        following = _next(begun, now, slack, (ended_s, reading.clock_s), added(begun.metered, passed))
        heads[counts.port_id] = _of(following, metered)
        if counts.port_id not in told.ports:
            del heads[counts.port_id]
    return HostHead(reading.boot, reading.clock_s, ended_s, heads, _totals(head, samples)), tuple(samples)


def figures(sample: Sample) -> tuple[int, ...]:
    """In the order of FIGURES."""
    return tuple(getattr(sample, name) for name in FIGURES)


def added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(sum, zip(one, other, strict=True)))


def _of(head: Head, metered: Metered) -> Head:
    return msgspec.structs.replace(head, project_id=metered.project_id, network_id=metered.network_id)


def _deleted(last: Head | None) -> Metered | None:
    return Metered(last.project_id, last.network_id, bound=False) if last and last.project_id else None


def _passed_of(last: Head, now: PortCounts, *, ended: bool) -> tuple[tuple[int, ...], tuple[int, int, int, int]]:
    received, sent = (
        (0, 0) if ended and _fell(before, after) else _passed(before, after)
        for before, after in ((last.received, now.received), (last.sent, now.sent))
    )
    total = *received, *sent
    told = *_passed(last.received_outside, now.received_outside), *_passed(last.sent_outside, now.sent_outside)
    # What a limit drops behind the flows that count was never delivered: no more is outside than there was.
    most = [here + before for here, before in zip(total, last.slack, strict=True)]
    outside = [min(each, limit) for each, limit in zip(told, most, strict=True)]
    slack = tuple(min(limit - each, here) for limit, each, here in zip(most, outside, total, strict=True))
    ways = ((last.received_outside, now.received_outside, 0), (last.sent_outside, now.sent_outside, 2))
    # Flows tell a second late, and of one that ends there is no next time.
    lost = [ended or _was_lost(before, after, last) for before, after, _ in ways]
    unsplit = [max(total[at] - outside[at], 0) if each else 0 for each, (_, _, at) in zip(lost, ways, strict=True)]
    return (*total, *outside, *unsplit), slack  # type: ignore[return-value]


def _passed(last: Count | None, now: Count | None) -> tuple[int, int]:
    """Bytes and packets."""
    if now is None:
        return 0, 0
    if last is not None and _same(last, now) and now.bytes >= last.bytes and now.packets >= last.packets:
        return now.bytes - last.bytes, now.packets - last.packets
    return now.bytes, now.packets


def _same(last: Count, now: Count) -> bool:
    return last.counter == now.counter and abs(last.born_s - now.born_s) < _SAME_BIRTH_S


def _fell(last: Count | None, now: Count | None) -> bool:
    """Half of a pair of devices may have forgotten at its end what came from the other half: that is no new counter."""
    return last is not None and now is not None and _same(last, now) and now.bytes < last.bytes


def _was_lost(last: Count | None, now: Count | None, head: Head) -> bool:
    """Whether something passed that a flow counted which is gone, or that none did."""
    if now is None:
        return True
    if last is not None:
        other_life = last.counter != now.counter
        return other_life or (not _same(last, now) and now.born_s > head.clock_s - _SAME_BIRTH_S)
    return now.born_s > head.clock_s + _SAME_BIRTH_S


def _next(
    last: Head, now: PortCounts, slack: tuple[int, int, int, int], when: tuple[float, float], metered: tuple[int, ...]
) -> Head:
    """A counter that could not be read is compared with its last value the next time."""
    return Head(
        *when,
        now.received or last.received,
        now.sent or last.sent,
        now.received_outside or last.received_outside,
        now.sent_outside or last.sent_outside,
        slack,
        metered,
    )


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
