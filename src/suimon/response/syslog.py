"""Lines of incidents as syslog messages (RFC 5424, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LOCAL0: Final = 16
_SEVERITIES: Final = {"alarm": 4, "breaker": 4, "restriction": 5, "action": 5, "release": 5, "prolonged": 5}
"""By kind of line: warning, notice; of others informational."""
_INFORMATIONAL: Final = 6
_MOST: Final = 1900
"""Bytes of the text: with the header it fits the 2,048 that every receiver should take (section 6.1)."""


def message(told: Mapping[str, object], host: str) -> bytes:
    """One message, without a frame; `told` is what a subscriber is told."""
    kind = str(told["kind"])
    priority = _LOCAL0 * 8 + _SEVERITIES.get(kind, _INFORMATIONAL)
    # Words come from detectors, and names in them from tenants: no line may be made to look like two.
    details = told.get("details")
    link = f" ({details['runbook']})" if isinstance(details, Mapping) and "runbook" in details else ""
    text = f"{told['id']} {told['rule']}: {told['words']}".encode()[: _MOST - len(link.encode())]
    words = "".join(letter if letter.isprintable() else "?" for letter in text.decode(errors="ignore") + link)
    head = f"<{priority}>1 {told['at']} {_name(host, 255)} suimon - {_name(kind, 32)} - "
    return head.encode() + b"\xef\xbb\xbf" + words.encode()[:_MOST].decode(errors="ignore").encode()


def framed(told: bytes) -> bytes:
    """After its length in bytes, for TCP (RFC 6587, section 3.4.1)."""
    return str(len(told)).encode() + b" " + told


def _name(text: str, most: int) -> str:
    """Printable ASCII without spaces; "-" is nothing."""
    return "".join(letter for letter in text if 33 <= ord(letter) <= 126)[:most] or "-"
