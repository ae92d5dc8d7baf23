"""A port's extra DHCP options in the API: what may be given, and what an update makes of those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from suimon.model import checks
from suimon.model.checks import Schema, takes
from suimon.model.errors import BadRequest
from suimon.model.view import DhcpOption

MAX_OPTIONS: Final = 50
_KEYS: Final = {"opt_name", "opt_value", "ip_version"}
_MAX_NAME: Final = 64
_MAX_VALUE: Final = 255
_MAY_BE_BLANK: Final = frozenset({"router", "classless-static-route"})
"""Options that a port may be told to have none of."""
_SCHEMA: Final[Schema] = {
    "type": ["array", "null"],
    "maxItems": MAX_OPTIONS,
    "items": {
        "type": "object",
        "properties": {
            "opt_name": {"type": "string", "minLength": 1, "maxLength": _MAX_NAME},
            "opt_value": {"type": ["string", "null"], "maxLength": _MAX_VALUE},
            "ip_version": {"enum": [4, 6]},
        },
        "required": ["opt_name", "opt_value"],
        "additionalProperties": False,
    },
}


class WantedOption(msgspec.Struct, frozen=True):
    """`value` None takes the option away."""

    name: str
    value: str | None
    ip_version: int


@takes(_SCHEMA)
def extra_dhcp_opts(value: object) -> object:
    """A list of {opt_name, opt_value, ip_version} as a tuple of WantedOption; null is an empty one."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise checks.invalid(f"'{value}' is not a list")
    if len(value) > MAX_OPTIONS:
        raise checks.invalid(f"{MAX_OPTIONS} extra DHCP options at most can be given to a port")
    again = [item for n, item in enumerate(value) if item in value[:n]]
    if again:
        raise checks.invalid(f"Duplicate items in the list: '{', '.join(str(item) for item in again)}'")
    return tuple(_option(item) for item in value)


def merged(there: Sequence[DhcpOption], wanted: Iterable[WantedOption]) -> tuple[DhcpOption, ...]:
    """What a port has after `wanted` was set: an option that isn't named stays."""
    options = {(option.name, option.ip_version): option for option in there}
    for wish in wanted:
        key = (wish.name, wish.ip_version)
        if wish.value is None:
            options.pop(key, None)
        else:
            options[key] = DhcpOption(wish.name, wish.value, wish.ip_version)
    return tuple(options.values())


def show_dhcp_options(options: Sequence[DhcpOption]) -> object:
    """As the API shows them."""
    return [{"opt_name": o.name, "opt_value": o.value, "ip_version": o.ip_version} for o in options]


def _option(item: Any) -> WantedOption:
    try:
        if not isinstance(item, dict) or not {"opt_name", "opt_value"} <= set(item) <= _KEYS:
            raise ValueError
        version = checks.one_of((4, 6), checks.integer)(item.get("ip_version", 4))
        assert isinstance(version, int)
        return WantedOption(_line(item["opt_name"], _MAX_NAME), _value(item["opt_name"], item["opt_value"]), version)
    except (ValueError, checks.Unfit, BadRequest):
        raise checks.invalid(f"No valid key specs matched for: {item}") from None


def _value(name: str, value: object) -> str | None:
    if value is None:
        return None
    if name in _MAY_BE_BLANK:
        return str(checks.text(_MAX_VALUE)(value))
    return _line(value, _MAX_VALUE)


def _line(value: object, most: int) -> str:
    """One line of text that isn't blank. Raises ValueError, Unfit."""
    text = str(checks.text(most)(value))
    if not text.strip() or "\n" in text or "\r" in text:
        raise ValueError
    return text
