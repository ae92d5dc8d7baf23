"""Checks of single values from outside: each takes a JSON value and gives the value that we keep.

A value that doesn't fit raises `Unfit` (the attribute's name is put in front: "Invalid input for NAME. Reason: …") or a
`CallerError` of its own. The words are Neutron's, which clients and their tests know. A check carries what it takes as
JSON Schema (`takes`), for the OpenAPI document: the plain form of a value, where some more are let pass for old
clients (numbers and truths as text).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeVar

from suimon.model.errors import BadRequest

C = TypeVar("C", bound=Callable[..., object])
Check = Callable[[object], object]
Schema = Mapping[str, Any]
"""JSON Schema, draft 2020-12."""
Address = IPv4Address | IPv6Address
Cidr = IPv4Network | IPv6Network

_UUID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_MAC: Final = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}", re.IGNORECASE)


class Unfit(Exception):
    """Why a value doesn't fit, without its attribute's name and without a full stop."""


def takes(schema: Schema) -> Callable[[C], C]:
    """Marks a check, or an act that looks at a body itself, with what it takes; {} is anything."""

    def mark(function: C) -> C:
        vars(function)["schema"] = schema
        return function

    return mark


def schema_of(function: Callable[..., object]) -> Schema | None:
    """What a check or an act takes; None when it doesn't say."""
    if isinstance(function, partial):
        return schema_of(function.func)
    schema: Schema | None = getattr(function, "schema", None)
    return schema


def nullable(schema: Schema) -> Schema:
    """The same or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Schema) -> Schema:
    """A list of those or null, which is an empty one."""
    return {"type": ["array", "null"], "items": schema}


def having(properties: Schema, *required: str) -> Schema:
    """An object with these, of which some have to be there."""
    return {"type": "object", "properties": properties, "required": [*required]}


def invalid(reason: str) -> BadRequest:
    """Neutron's InvalidInput, which its converters and plugins raise."""
    return BadRequest(f"Invalid input for operation: {reason}.", "InvalidInput")


@takes({})
def anything(value: object) -> object:
    """Whatever it is; the act looks at it."""
    return value


def text(most: int) -> Check:
    """A text of at most so many characters."""

    @takes({"type": "string", "maxLength": most})
    def check(value: object) -> object:
        if not isinstance(value, str):
            raise Unfit(f"'{value}' is not a valid string")
        if len(value) > most:
            raise Unfit(f"'{value[:300]}' exceeds maximum length of {most}")
        return value

    return check


def optional(check: Check) -> Check:
    """Null, or what `check` lets pass."""
    return takes(nullable(schema_of(check) or {}))(lambda value: None if value is None else check(value))


@takes({"type": "boolean"})
def boolean(value: object) -> object:
    """True or false, also as a word or a digit."""
    word = str(value).lower() if isinstance(value, str | bool | int) else ""
    if word in ("true", "1"):
        return True
    if word in ("false", "0"):
        return False
    raise invalid(f"'{value}' cannot be converted to boolean")


@takes({"type": "integer"})
def integer(value: object) -> object:
    """A whole number, also as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    raise invalid(f"'{value}' is not an integer")


def whole_number(most: int = 2_147_483_647) -> Check:
    """0 to `most`."""

    @takes({"type": "integer", "minimum": 0, "maximum": most})
    def check(value: object) -> object:
        number = integer(value)
        assert isinstance(number, int)
        if number < 0:
            raise Unfit(f"'{number}' should be non-negative")
        if number > most:
            raise Unfit(f"'{number}' is too large - must be no larger than '{most}'")
        return number

    return check


def one_of(values: Collection[object], convert: Check = anything) -> Check:
    """One of these values."""

    @takes({"enum": sorted(values, key=str)})
    def check(value: object) -> object:
        try:
            converted = convert(value)
        except BadRequest:
            converted = None
        if not isinstance(converted, str | int) or isinstance(converted, bool) or converted not in values:
            raise Unfit(f"{value} is not in valid_values")
        return converted

    return check


@takes({"type": "string", "format": "uuid"})
def uuid(value: object) -> object:
    """A UUID, kept as it was written, as Neutron does."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise Unfit(f"'{value}' is not a valid UUID")
    return value


@takes({**listed({"type": "string", "format": "uuid"}), "uniqueItems": True})
def uuids(value: object) -> object:
    """A list of UUIDs without repetition, as a tuple; null is an empty one."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Unfit(f"'{value}' is not a list")
    checked = tuple(str(uuid(item)) for item in value)
    if len(set(checked)) != len(checked):
        raise Unfit(f"Duplicate items in the list: '{', '.join(checked)}'")
    return checked


@takes({"type": "string", "format": "mac"})
def mac_address(value: object) -> object:
    """The MAC address of one interface, in lower case with colons.

    Neither zero nor a group address: traffic to a group belongs to everybody, so no port may own its address.
    """
    if not isinstance(value, str) or not _MAC.fullmatch(value):
        raise Unfit(f"'{value}' is not a valid MAC address")
    mac = value.lower().replace("-", ":")
    if mac == "00:00:00:00:00:00" or int(mac[:2], 16) & 1:
        raise Unfit(f"'{value}' is not a valid MAC address")
    return mac


@takes({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
def address(value: object) -> object:
    """An IPv4 or IPv6 address in its shortest form."""
    return str(parse_address(value))


@takes({"type": "string", "format": "cidr"})
def cidr(value: object) -> object:
    """An IPv4 or IPv6 network; one with host bits set is refused."""
    network = parse_cidr(value)
    if isinstance(value, str) and network.network_address != parse_address(value.partition("/")[0]):
        raise Unfit(f"'{value}' isn't a recognized IP subnet cidr, '{network}' is recommended")
    return str(network)


def parse_address(value: object) -> Address:
    """An address without zone (`%eth0`). Raises Unfit."""
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return ip_address(value)
    except ValueError:
        raise Unfit(f"'{value}' is not a valid IP address") from None


def parse_cidr(value: object) -> Cidr:
    """A network with a prefix length; host bits are cleared. Raises Unfit."""
    try:
        if not isinstance(value, str) or "%" in value or not re.fullmatch(r"[0-9]{1,3}", value.partition("/")[2]):
            raise ValueError
        return ip_network(value, strict=False)
    except ValueError:
        raise Unfit(f"'{value}' is not a valid CIDR") from None


def items(check: Check) -> Check:
    """A list whose items pass `check`, as a tuple; null is an empty one."""

    @takes(listed(schema_of(check) or {}))
    def checked(value: object) -> object:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise Unfit(f"'{value}' is not a list")
        return tuple(check(item) for item in value)

    return checked


@takes({"type": ["object", "null"]})
def mapping(value: object) -> object:
    """An object; null is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unfit(f"'{value}' is not a dictionary")
    return value
