"""Names and domains of the DNS in the API: null and an empty text mean none."""

from __future__ import annotations

from suimon.model import checks, dns_names


@checks.takes({"type": ["string", "null"], "maxLength": dns_names.MAX_LENGTH})
def dns_name(value: object) -> object:
    """A host's name in lower case, alone or with its domain and the dot at its end."""
    name = str(checks.text(dns_names.MAX_LENGTH)("" if value is None else value)).lower()
    dns_names.require_name(name)
    return name


@checks.takes({"type": ["string", "null"], "maxLength": dns_names.MAX_LENGTH - 2})
def dns_domain(value: object) -> object:
    """A domain in lower case with the dot at its end."""
    return dns_names.domain("" if value is None else value)
