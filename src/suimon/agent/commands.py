"""The local commands of a running agent (agent/control.py), answered from what it holds."""

from collections.abc import Callable, Mapping

import msgspec

from suimon.agent import questions
from suimon.agent.checks import Checks
from suimon.agent.control import Command, CommandError
from suimon.agent.enforcer import Enforcer

Arguments = Mapping[str, str]


def commands(enforcer: Enforcer, checks: Checks, host: str) -> dict[str, Command]:
    """`accept` a held view; `clean` away orphans; `flows` (`port`); `why` (the fields of questions.Why); `status`."""

    async def accept(_: Arguments, _by: str) -> list[str]:
        if not enforcer.accept():
            raise CommandError("nothing is held: the view in force is the controller's")
        return ["accepted: the controller's view is being put in force"]

    async def clean(_: Arguments, by: str) -> list[str]:
        removed = await checks.clean(f"{by}: suimon agent clean")
        if removed is None:
            raise CommandError("Open vSwitch does not answer: nothing can be removed now")
        return [f"removed: {each}" for each in removed] or ["there are no orphans"]

    async def flows(arguments: Arguments, _by: str) -> list[str]:
        port = arguments.get("port", "")
        refused = [f"# refused: {owner}: {failure.reason}" for owner, failure in enforcer.failures.items()]
        return _asked(lambda: questions.flows_text(enforcer.world, "" if port == host else port)) + refused

    async def why(arguments: Arguments, _by: str) -> list[str]:
        return _asked(lambda: questions.why(enforcer.world, asked(arguments)))

    async def status(_: Arguments, _by: str) -> list[str]:
        return _status(enforcer, host) + _found(checks)

    return {"accept": accept, "clean": clean, "flows": flows, "why": why, "status": status}


def asked(arguments: Arguments) -> questions.Why:
    """Raises QuestionError for arguments that are none."""
    try:
        return msgspec.convert(dict(arguments), questions.Why, strict=False)
    except msgspec.ValidationError as error:
        raise questions.QuestionError(str(error)) from error


def _asked(question: Callable[[], list[str]]) -> list[str]:
    try:
        return question()
    except questions.QuestionError as error:
        raise CommandError(str(error)) from error


def _status(enforcer: Enforcer, host: str) -> list[str]:
    position, force = enforcer.position, enforcer.in_force
    lines = [f"host {host}"]
    if position is None:
        lines.append("no view yet: the switch stays as it is until the controller tells one")
    else:
        lines.append(f"view: revision {position.revision} of epoch {position.epoch}, store {position.store}")
        lines.append(f"in the switch: {'nothing yet' if force is None else f'revision {force.revision}'}")
    if enforcer.guard.held:
        lines.append(f"HELD: the controller's view is not in force: {enforcer.guard.held}")
        lines.append("If it is right, let it through with: suimon agent accept")
    lines += [f"refused: {owner}: {failure.reason}" for owner, failure in enforcer.failures.items()]
    return lines


def _found(checks: Checks) -> list[str]:
    """What the last check of the switch found that is nobody's."""
    lines = [f"checked: {checks.count} times"]
    lines += [f"not ours, left alone: {checks.foreign}"] if checks.foreign else []
    return lines + [f"orphan: {each}; remove orphans with: suimon agent clean" for each in checks.orphans]
