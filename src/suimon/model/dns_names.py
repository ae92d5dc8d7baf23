"""Names of the DNS as attributes hold them (RFC 952, RFC 1123)."""

from __future__ import annotations

import re
from typing import Final

from suimon.model.checks import Unfit, takes

MAX_LENGTH: Final = 255
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@takes({"type": "string", "maxLength": MAX_LENGTH})
def domain(value: object) -> object:
    """A fully qualified domain, in lower case with its dot, or an empty text."""
    if not isinstance(value, str):
        raise Unfit(f"'{value}' is not a valid string")
    name = value.lower()
    if name and not name.endswith("."):
        raise Unfit(f"'{value[:300]}' is not a FQDN")
    if len(name) > MAX_LENGTH - 2:
        raise Unfit(
            f"'{value[:300]}' contains {len(value)} characters. Adding a sub-domain will cause it to exceed the "
            f"maximum length of a FQDN of '{MAX_LENGTH}'"
        )
    require_name(name)
    return name


def require_name(name: str) -> None:
    """Raises Unfit unless each label of this lower-case name is one, whether or not it ends with a dot."""
    labels = name.removesuffix(".").split(".") if name else []
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise _no_name(name, _fault(label))
    if len(labels) > 1 and labels[-1].isdigit():
        raise _no_name(name, f"TLD '{labels[-1]}' must not be all numeric")


def _fault(label: str) -> str:
    if not label:
        return "Encountered an empty component"
    if label.startswith("-") or label.endswith("-"):
        return f"Name '{label}' must not start or end with a hyphen"
    return f"Name '{label}' must be 1-63 characters long, each of which can only be alphanumeric or a hyphen"


def _no_name(name: str, reason: str) -> Unfit:
    return Unfit(f"'{name}' not a valid PQDN or FQDN. Reason: {reason}")
