"""A rulebook's text: YAML in, a `Rulebook` out, or where it is wrong.

limits: {acts_an_hour: 5}
never: {projects: [3f0c…]}
rules:
  - name: spam
    detector: mass_mail
    for: {everyone: true}
    do: {kind: port_block, protocol: tcp, port_min: 25, port_max: 25, lasts_h: 1}
    then:
      - {at: 3, do: {kind: quarantine, lasts_h: 24}}
usage:
  - name: heavy
    more_than_gb: 50
    for: {tags: ['operator:metered']}
    do: {kind: rate_limit, rate_kbps: 10000, lasts_h: 24}
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final

import msgspec

from suimon.detection.counters import SUREST
from suimon.model.errors import BadRequest
from suimon.model.findings import DETECTORS
from suimon.model.rulebook import BY_HAND, AnyRule, DetectorRule, Measure, Rulebook, UsageRule
from suimon.resources.yaml_text import Marks, Path, nearest, read_yaml, wrong_at

MOST_BYTES: Final = 256 * 1024
_AT: Final = re.compile(r" - at `\$(.*)`$")
_STEP: Final = re.compile(r"\.([\w-]+)|\[(\d+|\.\.\.)\]")


def read_rulebook(text: str) -> Rulebook:
    """Raises BadRequest with line, column and what is wrong there."""
    return _read(text)[0]


def _read(text: str) -> tuple[Rulebook, Marks]:
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise BadRequest(f"A rulebook has at most {MOST_BYTES} bytes.")
    plain, marks = read_yaml(text)
    try:
        book = msgspec.convert(plain if plain is not None else {}, Rulebook)
    except msgspec.ValidationError as error:
        words, at = str(error), _AT.search(str(error))
        raise wrong_at(nearest(marks, _path(at[1] if at else "")), _AT.sub("", words)) from None
    for path, words in _doubts(book):
        raise wrong_at(nearest(marks, path), words)
    return book, marks


def require_dry_first(text: str, before: Rulebook) -> Rulebook:
    """The rulebook, when each rule that would do what none in `before` does only notes what it would have done, and
    none waits for what never comes. Raises BadRequest.
    """
    book, marks = _read(text)
    for number, one in enumerate(book.rules):
        if one.detector not in DETECTORS:
            words = f"No detector is named {one.detector}. There are {', '.join(DETECTORS)}."
            raise wrong_at(nearest(marks, ("rules", number, "detector")), words)
        if one.confidence > (most := SUREST.get(one.detector, 1.0)):
            words = f"Findings of {one.detector} are {most} sure at most: confidence {one.confidence} lets none by."
            raise wrong_at(nearest(marks, ("rules", number, "confidence")), words)
    known = {rule.name: rule for rule in before.all_rules}
    for rule in book.all_rules:
        if rule.mode == "dry_run":
            continue
        if rule.name not in known:
            raise BadRequest(f"Rule {rule.name} is new: its first mode is dry_run. Look at what it would have done.")
        if changed := _widened(known[rule.name], rule):
            raise BadRequest(
                f"Rule {rule.name} has another {changed} than before: its first mode is dry_run again. "
                "Look at what it would have done."
            )
    return book


def _widened(before: AnyRule, after: AnyRule) -> str:
    """Which field is another one, but for the mode, more exemptions and higher thresholds, which spare somebody."""
    if type(before) is not type(after):
        return "kind"
    for name in after.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        spares = (
            name in ("mode", "warn_at")
            or (name in ("confidence", "more_than_gb") and new >= old)
            or (name == "but_for" and new.exempts_all_of(old))
        )
        if new != old and not spares:
            return name.rstrip("_")
    return ""


def _doubts(book: Rulebook) -> list[tuple[Path, str]]:
    """What types don't say, each with its place."""
    found: list[tuple[Path, str]] = []
    times = Counter(rule.name for rule in book.all_rules)
    groups: tuple[tuple[str, tuple[DetectorRule | UsageRule, ...]], ...] = (
        ("rules", book.rules),
        ("usage", book.usage),
    )
    for group, rules in groups:
        for number, rule in enumerate(rules):
            if rule.name == BY_HAND:
                found.append(((group, number, "name"), f"{BY_HAND} is what people restrict: it names no rule."))
            if times[rule.name] > 1:
                found.append(((group, number, "name"), f"There are two rules with the name {rule.name}."))
            found += [((group, number, *path), words) for path, words in _doubts_of(rule, book.limits.longest_h)]
    for number, address in enumerate(book.never.addresses):
        try:
            ip_network(address, strict=False)
        except ValueError:
            found.append((("never", "addresses", number), f"{address[:80]!r} is no address and no prefix."))
    return found


def _doubts_of(rule: AnyRule, longest_h: float) -> Iterator[tuple[Path, str]]:
    """What is wrong with its measures, with the place in the rule."""
    before, last = rule.do, 1
    measures: list[tuple[Path, Measure]] = [(("do",), rule.do)]
    for number, step in enumerate(rule.then):
        if step.at <= last:
            yield ("then", number, "at"), "Each step begins at a later time than the one before."
        if step.do == before:
            yield ("then", number, "do"), "It is no other measure than the one before, which lasts longer each time."
        before, last = step.do, step.at
        measures.append((("then", number, "do"), step.do))
    for path, do in measures:
        if words := _doubt(do) or (_misled(rule, do) if isinstance(rule, DetectorRule) else ""):
            yield path, words
        if do.lasts_h > longest_h:
            yield path, "It lasts longer than limits.longest_h allows."


def _doubt(do: Measure) -> str:
    rates = {"rate_limit": do.rate_kbps, "packet_rate_limit": do.rate_kpps}
    others = [rate for kind, rate in rates.items() if kind != do.kind and rate is not None]
    if others or (do.kind in rates and rates[do.kind] is None):
        return "A rate_limit needs rate_kbps, a packet_rate_limit rate_kpps, and nothing else has either."
    blocked = (do.protocol, do.port_min, do.port_max)
    if do.kind != "port_block":
        return "" if blocked == (None, None, None) else "Only a port_block has a protocol and ports."
    if do.protocol is None or do.port_min is None or (do.port_max is not None and do.port_max < do.port_min):
        return "A port_block needs its protocol and port_min, and a port_max that is not below."
    return ""


def _misled(rule: DetectorRule, do: Measure) -> str:
    """Whoever is attacked is not to be silenced: that would be the attacker's success."""
    if rule.role == "source" or (do.kind != "quarantine" and do.direction != "egress"):
        return ""
    return (
        f"Findings of role {rule.role or 'null'} are of victims, too: only what they get can be limited or blocked "
        "(direction: ingress). Who attacks from outside is blocked by hand: suimon restrict outside-address ADDRESS."
    )


def _path(text: str) -> Path:
    return tuple(int(number) if number.isdigit() else name or number for name, number in _STEP.findall(text))
