"""Restrictions in the operations API: what operators take from a target for a while."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, integer_filter, when
from suimon.model.specs.qos import DIRECTIONS, MOST

KINDS: Final = ("rate_limit", "packet_rate_limit", "port_block", "quarantine")
TARGET_KINDS: Final = ("port", "project", "network", "address", "outside_address")
PROTOCOLS: Final = ("tcp", "udp")
STATES: Final = ("active", "released", "expired")
LONGEST_S: Final = 366 * 86400
_MOST_EVIDENCE: Final = 50


@checks.takes({"type": "integer", "minimum": 1, "maximum": MOST})
def _rate(value: object) -> object:
    number = checks.whole_number(MOST)(value)
    if number == 0:
        raise checks.Unfit("a limit of nothing is a quarantine, or none")
    return number


@checks.takes({"type": "integer", "minimum": 1, "maximum": 65535})
def _l4_port(value: object) -> object:
    number = checks.whole_number(65535)(value)
    if number == 0:
        raise checks.Unfit("'0' is not a port number from 1 to 65535")
    return number


@checks.takes({"type": "integer", "minimum": 1, "maximum": LONGEST_S})
def _duration_s(value: object) -> object:
    number = checks.whole_number(LONGEST_S)(value)
    if number == 0:
        raise checks.Unfit("it would be over before it began")
    return number


@checks.takes(checks.listed({"type": "string", "maxLength": 1024}))
def _evidence(value: object) -> object:
    texts = checks.items(checks.text(1024))(value)
    assert isinstance(texts, tuple)
    if len(texts) > _MOST_EVIDENCE:
        raise checks.Unfit(f"more than {_MOST_EVIDENCE} pieces of evidence")
    return texts


@checks.takes({"type": "string", "minLength": 1, "maxLength": 1024})
def _reason(value: object) -> object:
    """The tenant reads it: there has to be one."""
    text = checks.text(1024)(value)
    if not str(text).strip():
        raise checks.Unfit("the tenant is told it, so it can't be empty")
    return text


def _given(name: str, check: checks.Check, default: object = None) -> Attribute:
    return Attribute(name=name, field=name, check=check, put=False, default=default)


def _number(name: str, check: checks.Check) -> Attribute:
    return Attribute(
        name=name, field=name, check=checks.optional(check), put=False, default=None, filter=integer_filter
    )


def _made(name: str) -> Attribute:
    return Attribute(name=name, field=name, post=False, put=False)


def _time(name: str) -> Attribute:
    return Attribute(
        name=name,
        field=name,
        post=False,
        put=False,
        filter=None,
        show=lambda value: None if value is None else when(value),
    )


RESTRICTION: Final = Spec(
    singular="restriction",
    plural="restrictions",
    path="restrictions",
    type=things.Restriction,
    attributes=(
        _made("id"),
        _given("kind", checks.one_of(KINDS), REQUIRED),
        _given("target_kind", checks.one_of(TARGET_KINDS), REQUIRED),
        _given("target", checks.text(255), REQUIRED),
        _made("project_id"),
        _given("direction", checks.optional(checks.one_of(DIRECTIONS))),
        _number("rate_kbps", _rate),
        _number("rate_kpps", _rate),
        _given("protocol", checks.optional(checks.one_of(PROTOCOLS))),
        _number("port_min", _l4_port),
        _number("port_max", _l4_port),
        Attribute(name="allowed", field="allowed", post=False, put=False, filter=None),
        _given("reason", _reason, REQUIRED),
        _given("finding_id", checks.text(64), ""),
        Attribute(name="evidence", field="evidence", check=_evidence, put=False, default=(), filter=None),
        _made("author"),
        _made("author_kind"),
        # How long it holds; None: until somebody releases it. What follows from it is `expires_at`.
        Attribute(
            name="duration_s",
            field="duration_s",
            check=checks.optional(_duration_s),
            put=False,
            default=None,
            filter=None,
            shown=False,
        ),
        _time("created_at"),
        _time("expires_at"),
        _made("state"),
        _time("released_at"),
        _made("released_by"),
        _made("release_reason"),
        Attribute(name="appeal", field="appeal", post=False, put=False, default="", filter=None),
    ),
)
