"""What the simulated switch did, in words for people."""

from __future__ import annotations

from typing import Final

from suimon.pipeline.fields import FIELDS
from suimon.pipeline.flow import SetField, ToController, actions_text
from suimon.pipeline.simulate.packet import Packet
from suimon.pipeline.simulate.switch import Result, Step

_INTERNAL: Final = ("metadata", "reg", "ct_")
"""Fields that no other machine sees."""


def explain(result: Result) -> str:
    """What became of the packet, in sentences for people."""
    arrived = result.steps[0].packet
    lines = [
        f"Sent out of port {sent.ofport} in {_place(sent.step)}{_differences(arrived, sent.packet, _INTERNAL)}."
        for sent in result.sent
    ]
    lines += [f"Handed to the agent in {_place(step)}." for step in result.steps if _asks_controller(step)]
    if drop := result.drop:
        missed = sorted({step.stage for step in result.steps[:-1] if step.flow is None})
        asked = "".join(f"; {stage.label} had no match" for stage in missed)
        lines.append(f"Dropped in {_place(result.last)}: {drop.reason}{asked}.")
    return "\n".join(lines)


def trace_text(result: Result) -> str:
    """Every lookup on a line: the stage, what had changed in the packet since the last one, the flow it met."""
    lines = []
    before = result.steps[0].packet
    for step in result.steps:
        met = str(step.flow) if step.flow else "no flow matches: dropped"
        note = f" ({step.note})" if step.note else ""
        lines.append(f"{step.stage.label}{_differences(before, step.packet)}: {met}{note}")
        before = step.packet
    return "\n".join([*lines, explain(result)])


def _place(step: Step) -> str:
    if step.flow is None:
        return step.stage.label
    names = dict.fromkeys(str(flow.owner) for flow in (step.flow, *step.clauses))
    return f"{step.stage.label} by {' and '.join(names)}"


def _asks_controller(step: Step) -> bool:
    return step.flow is not None and any(isinstance(action, ToController) for action in step.flow.actions)


def _differences(before: Packet, after: Packet, hidden: tuple[str, ...] = ()) -> str:
    """What changed, written as the actions that would do it; a packet that is no longer tracked needs no mention."""
    fields = after.fields.items()
    changed = (name for name, value in fields if value != before.fields.get(name, 0) and not name.startswith(hidden))
    written = tuple(
        SetField(name, after.fields[name], (1 << FIELDS[name].bits) - 1)
        for name in changed
        if after.fields[name] or not name.startswith("ct_")
    )
    return f" [{actions_text(written)}]" if written else ""
