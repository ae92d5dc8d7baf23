"""Step 8: a policy forbids, then repairs by itself, then asks; what was violated when is known, and all is undone."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from suimon.lab.error import LabError
from suimon.lab.measure import Json, Probe
from suimon.lab.tour.guide import Guide, differences

_NAME: Final = "no_open_ssh"
_SSH: Final = 22
_WITHIN_S: Final = 1.0
_PATIENCE_S: Final = 20.0
_CLAUSES: Final = """\
error(rule) :-
  neutronv2:security_group_rules(id=rule, direction="ingress", port_range_min=22, remote_ip_prefix="0.0.0.0/0")

execute[neutronv2:delete_security_group_rule(rule)] :- error(rule)
"""


def show(guide: Guide) -> None:
    guide.tell("A policy: no security group lets the whole world in to tcp/22. Its second clause says what mends it.")
    file = guide.lab.layout.directory / "no_open_ssh.dl"
    file.write_text(_CLAUSES)
    guide.suimon("policy", "load", _NAME, str(file), "--description", "SSH is for the bastion.")
    _forbidden(guide)
    with guide.measure.probe("guarded1", "serve", str(_SSH)) as server:
        server.ready()
        rule = _repaired(guide)
        _undone(guide, rule)
        moment = _approved(guide)
        _remembered(guide, rule, moment)
        _all_undone(guide)


def _forbidden(guide: Guide) -> None:
    guide.tell("Proactive, it is asked before a call is done.")
    guide.suimon("policy", "mode", _NAME, "enforced", "--proactive", "--acts", "never")
    try:
        _open(guide)
    except LabError as error:
        clause = next(
            (line.strip() for line in str(error).splitlines() if "neutronv2:security_group_rules" in line), ""
        )
        guide.check("403" in str(error) and clause != "", "the call is refused with 403, by", clause)
        return
    guide.check(False, "the call is refused")


def _repaired(guide: Guide) -> str:
    """The id of the rule that was made and deleted."""
    guide.tell("Reactive, it mends what it finds. blue1 keeps trying to reach tcp/22 of guarded1 meanwhile.")
    guide.suimon("policy", "mode", _NAME, "enforced", "--reactive", "--acts", "act")
    before = guide.dumps()
    with _trying(guide) as probe:
        rule = str(_open(guide)["id"])
        opened_at = time.monotonic()
        gone_s = guide.await_true(lambda: not _is_there(guide, rule), _PATIENCE_S)
        guide.check(gone_s < _PATIENCE_S, "the rule that was made is deleted")
        flows_s = guide.await_true(lambda: not differences(before, guide.dumps()), _PATIENCE_S)
        guide.check(flows_s < _PATIENCE_S, "every bridge is as it was before the rule")
        told = probe.enough().result()
    late_s = (told["last_at"] or opened_at) - opened_at
    guide.check(
        late_s < _WITHIN_S, "after the call had returned, the last packets got in for", f"{late_s * 1000:.0f} ms"
    )
    guide.check(_seen(guide) == "silent", "to blue1, tcp/22 of guarded1 is", "silent")
    return rule


def _undone(guide: Guide, rule: str) -> None:
    (incident,) = _incidents(guide)
    for line in guide.suimon("incidents", incident["id"]).splitlines():
        guide.tell(f"  {line}")
    guide.check(incident["bites"] is True, "looked at afterwards: what was done", "bites")
    guide.suimon("undo", incident["id"], "--why", "the tour wants to see it")
    guide.check(_is_there(guide, rule), "undone by one command: the same rule is there again")
    took_s = guide.await_true(lambda: _seen(guide) == "open")
    guide.check(took_s < _PATIENCE_S, "to blue1, tcp/22 of guarded1 is", "open")


def _approved(guide: Guide) -> datetime:
    """A moment at which the rule was known to be there again."""
    guide.tell("What a person undid is not done again without asking.")
    waiting: list[Json] = []

    def asked() -> bool:
        waiting[:] = [one for one in _incidents(guide) if one["state"] == "waiting"]
        return bool(waiting)

    guide.check(guide.await_true(asked, _PATIENCE_S) < _PATIENCE_S, "an incident waits for an answer")
    moment = datetime.now(UTC)
    told = guide.suimon("incidents", waiting[0]["id"])
    guide.check(
        "undone" in told, "it says why it asks", next(line for line in told.splitlines() if "ask:" in line).strip()
    )
    guide.suimon("approve", waiting[0]["id"], "--why", "seen enough")
    took_s = guide.await_true(lambda: _seen(guide) == "silent")
    guide.check(took_s < _PATIENCE_S, "approved: to blue1, tcp/22 of guarded1 is", "silent")
    return moment


def _remembered(guide: Guide, rule: str, moment: datetime) -> None:
    over = guide.await_true(lambda: rule not in guide.suimon("policy", "violations"), _PATIENCE_S)
    guide.check(over < _PATIENCE_S, "violated is nothing any more")
    then = guide.suimon("policy", "violations", "--at", moment.isoformat())
    guide.check(rule in then, f"what was violated at {moment:%H:%M:%S}", f'{_NAME}: error("{rule}")')


def _all_undone(guide: Guide) -> None:
    guide.suimon("policy", "stop")
    told = guide.suimon("release", "--all", "--since", "10m", "--why", "the tour goes on")
    guide.check("1 undone." in told, "all that was done since is undone", "1 incident")
    (rule,) = guide.cloud.ask("/v2.0/security-group-rules?port_range_min=22&remote_ip_prefix=0.0.0.0/0")[
        "security_group_rules"
    ]
    guide.cloud.run("security", "group", "rule", "delete", rule["id"])
    guide.cloud.ask(f"/policy/v1/policies/{_NAME}", "DELETE")


def _open(guide: Guide) -> Json:
    """Let the world in to tcp/22 of guarded1."""
    rule = ["security", "group", "rule", "create", "--ingress", "--protocol", "tcp", "--dst-port", str(_SSH)]
    return guide.cloud.create(*rule, "--remote-ip", "0.0.0.0/0", "guarded")


def _trying(guide: Guide) -> Probe:
    paced = ("--per-second", "20", "--seconds", "60", "--patience", "0.5")
    return guide.measure.probe("blue1", "sessions", f"{guide.address('guarded1')}/32", str(_SSH), *paced).ready()


def _is_there(guide: Guide, rule: str) -> bool:
    return bool(guide.cloud.ask(f"/v2.0/security-group-rules?id={rule}")["security_group_rules"])


def _seen(guide: Guide) -> str:
    return guide.measure.connection("blue1", guide.address("guarded1"), _SSH, patience_s=0.7)


def _incidents(guide: Guide) -> list[Json]:
    return list(guide.cloud.ask(f"/operations/v1/incidents?rule=policy:{_NAME}")["incidents"])
