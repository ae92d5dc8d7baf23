"""What is printed at the end: the faults, the ways, and what was promised beside what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.chaos.faults import Faults
from tests.chaos.streams import Gap, Outcome, Way
from tests.chaos.verdict import is_bounded

ENOUGH_IN_600_S = {"faults": 100, "changes": 1_000, "packets": 1_000_000, "migrations": 20}
"""Less says nothing about the promises; of a shorter run, as much as its share."""


def too_few(found: Mapping[str, int], seconds: float) -> list[str]:
    wanted = {name: int(count * min(seconds, 600) / 600) for name, count in ENOUGH_IN_600_S.items()}
    return [f"{found[name]} {name}, of at least {count}" for name, count in wanted.items() if found[name] < count]


def gaps(outcomes: Sequence[Outcome], faults: Faults) -> list[str]:
    """Each declared gap by its time, and what each way lost in it."""
    lines = []
    widths = {outcome.way.name: dict(_by_gap(outcome, faults)) for outcome in outcomes if outcome.way.allowed}
    for gap in faults.gaps:
        costs = [f"{name} {found[gap][0]} in {found[gap][1]:.0f} ms" for name, found in widths.items() if gap in found]
        lines.append(f"{gap.begun:.3f} to {gap.ended:.3f}, {gap.fault} on {gap.host}: {', '.join(costs) or 'nothing'}")
    return lines


def losses(outcomes: Sequence[Outcome], faults: Faults) -> list[str]:
    """Every lost packet: when it was sent, on which way, and in which gap, if in any."""
    lines = ["sent_s,way,gap_s,fault,host"]
    for outcome in outcomes:
        for at in outcome.lost_at if outcome.way.allowed else ():
            found = [gap for gap in faults.gaps if gap.touches(outcome.way) and gap.begun <= at <= gap.ended]
            told = f"{found[0].begun:.3f},{found[0].fault},{found[0].host}" if found else ",,"
            lines.append(f"{at:.4f},{outcome.way.name},{told}")
    return lines


def table(outcomes: Sequence[Outcome], faults: Faults, found: Mapping[str, int], broken: Mapping[str, int]) -> str:
    """`found` counts what happened, `broken` is by promise how often it was."""
    rows = [["fault", "times", "gaps", "packets lost", "longest"]]
    for name, count in sorted(faults.counts.items()):
        costs = [(gap, cost, outcome.way) for outcome in outcomes if outcome.way.allowed
                 for gap, cost in _by_gap(outcome, faults) if gap.fault == name]  # fmt: skip
        rows.append([name, str(count), str(sum(gap.fault == name for gap in faults.gaps)), *_cost(costs)])
    rows += [[], ["way", "sent", "received", "lost in gaps", "elsewhere"]]
    for outcome in outcomes:
        elsewhere = len(outcome.unexplained(faults.gaps))
        lost = [str(len(outcome.lost_at) - elsewhere), str(elsewhere)] if outcome.way.allowed else ["none may", ""]
        rows.append([outcome.way.name, str(outcome.sent), str(outcome.received), *lost])
    rows += [[], *([name, str(count)] for name, count in found.items())]
    rows += [[], *([name, str(count)] for name, count in broken.items())]
    return "\n".join(_aligned(row) for row in rows)


def _by_gap(outcome: Outcome, faults: Faults) -> list[tuple[Gap, tuple[int, float]]]:
    return [(gap, (count, width_ms)) for gap, count, width_ms in outcome.widths_ms(faults.gaps)]


def _cost(costs: Sequence[tuple[Gap, tuple[int, float], Way]]) -> list[str]:
    """All packets, and the longest of the gaps that are bounded."""
    bounded = [width_ms for gap, (_, width_ms), way in costs if is_bounded(gap, way)]
    return [str(sum(count for _, (count, _), _ in costs)), f"{max(bounded):.0f} ms" if bounded else "-"]


def _aligned(row: Sequence[str]) -> str:
    return "".join(cell.ljust(36) if number == 0 else cell.rjust(14) for number, cell in enumerate(row)).rstrip()
