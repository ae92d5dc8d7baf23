"""How our answers differ from a real Neutron's, for the requests in `neutron_answers.txt`.

The file has what Neutron 29.0.0 (ML2 with Open vSwitch, most service plugins) answered. A line that isn't indented is
a request, `[nobody] METHOD path [JSON body] [# Header: value]`; the indented one below is the status and the body. What
is behind `~` was not recorded but has to be there for the rest. A name in angle brackets stands for an id (or an
address) that the server chose: it is learnt from the place in our answer where Neutron's has it, and put into the
requests after. What is chosen is not compared, only that it is there (`_CHOSEN`, `_NEUTRAL`).

`python -m tests.conformance.answers` prints the differences; `test_answers.py` has the reasons for those that stay.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from tests.api.cloud import Cloud

RECORDED: Final = Path(__file__).with_name("neutron_answers.txt")
_REQUEST: Final = re.compile(r"(nobody )?([A-Z]+) (\S+)(?: ((?!#).*?))?(?: # ([A-Za-z-]+): (.*))?")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NAME: Final = re.compile(r"<(?!project>|time>|mac>|id>|number>|address>|network)[a-z0-9-]+>")
_NAMES: Final = re.compile(r"<\w+>(?:,<\w+>)+")
_NEUTRAL: Final = (
    (re.compile(r"http://(cloud:9696|127\.0\.0\.1:15000)"), "http://NET"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<project>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
    (re.compile(r"fa:16:3e(:[0-9a-f]{2}){3}|<port-mac>"), "<mac>"),
    (re.compile(r"host-[0-9a-f-]+"), "host-<address>"),
    (re.compile(r"(?<=revision is )\d+"), "<number>"),
    (re.compile(r"(?<=floating IP )172\.24\.4\.\d+|(?<=fixed IP )10\.5\.0\.\d+"), "<address>"),
)
_CHOSEN: Final = {
    "ip_address",
    "floating_ip_address",
    "fixed_ip_address",
    "provider:segmentation_id",
    "revision_number",
}
_NOWHERE: Final = "00000000-0000-0000-0000-000000000000"
ABSENT: Final = "(absent)"


class Difference(NamedTuple):
    """At `where` (a path in the body, or `status`) the answer to `request` is not Neutron's."""

    request: str
    where: str
    neutron: Any
    ours: Any

    @property
    def told(self) -> str:
        """The same for all places of a list."""
        return re.sub(r"\[\d+\]", "[]", f"{self.where}: {_short(self.neutron)} → {_short(self.ours)}")


def differences(cloud: Cloud) -> Iterator[Difference]:
    """Plays the requests in order."""
    lines = [line for line in RECORDED.read_text().splitlines() if line and not line.startswith("#")]
    names: dict[str, str] = {}
    for request, recorded in zip(lines[::2], lines[1::2], strict=True):
        status, _, text = recorded.strip().partition(" ")
        found = list(_compared(cloud, request, (int(status.lstrip("~")), _ordered(json.loads(text or "null"))), names))
        yield from () if status.startswith("~") else found


def _compared(cloud: Cloud, request: str, neutron: tuple[int, Any], names: dict[str, str]) -> Iterator[Difference]:
    status, told = cloud_answer(cloud, _real(request, names))
    told = _ordered(told)
    _learn(neutron[1], told, names)
    ours = _neutral(told, {real: name for name, real in names.items()})
    recorded = _neutral(
        json.loads(_NAME.sub(lambda it: it[0] if it[0] in names else "<id>", json.dumps(neutron[1]))), {}
    )
    if status != neutron[0]:
        yield Difference(
            request, "status", f"{neutron[0]} {_said(recorded)}".strip(), f"{status} {_said(ours)}".strip()
        )
        return
    for where, theirs, our in _unequal(recorded, ours, ""):
        yield Difference(request, where, theirs, our)


def cloud_answer(cloud: Cloud, request: str) -> tuple[int, Any]:
    """Status and body of a request in the file's form."""
    found = _REQUEST.fullmatch(request)
    assert found, request
    nobody, method, path, body, header, value = found.groups()
    token = "" if nobody else cloud.admin.token
    headers = {header.lower(): value} if header else None
    answer = cloud.call(method, path, body.encode() if body else None, token, headers)
    return answer.status, answer.json if answer.body else None


def _learn(recorded: Any, told: Any, names: dict[str, str]) -> None:
    match recorded, told:
        case dict(), dict():
            for key in recorded.keys() & told.keys():
                _learn(recorded[key], told[key], names)
        case list(), list():
            for theirs, ours in zip(recorded, told, strict=False):
                _learn(theirs, ours, names)
        case str(), str() if _NAME.fullmatch(recorded):
            names.setdefault(recorded, told)


def _real(text: str, names: dict[str, str]) -> str:
    return _NAME.sub(lambda found: names.get(found[0], found[0]), text)


def _neutral(value: Any, names: dict[str, str]) -> Any:
    """`names` maps what is real to its name."""
    text = json.dumps(value)
    for real, name in names.items():
        text = text.replace(real, name) if len(real) > 3 else text
    for pattern, name in _NEUTRAL:
        text = pattern.sub(name, text)
    text = _UUID.sub(lambda it: it[0] if it[0] == _NOWHERE else "<id>", text)
    # Several in one sentence are in the order of their ids, which are chance.
    return json.loads(_NAMES.sub(lambda it: ",".join(sorted(it[0].split(","))), text))


def _ordered(value: Any) -> Any:
    """Rules that were made together, and a port's addresses, in an order of their own: they have none."""
    match value:
        case dict():
            return {key: _ordered(item) for key, item in value.items()}
        case [{"direction": _, "ethertype": _}, *_]:
            return sorted(
                value, key=lambda rule: [str(rule.get(key)) for key in ("direction", "ethertype", "protocol")]
            )
        case [{"ip_address": str()}, *_]:
            return sorted(value, key=lambda fixed: ":" in fixed["ip_address"])
        case list():
            return [_ordered(item) for item in value]
    return value


def _unequal(neutron: Any, ours: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(neutron, dict) and isinstance(ours, dict):
        for key in sorted(neutron.keys() | ours.keys()):
            pair = neutron.get(key, ABSENT), ours.get(key, ABSENT)
            if key not in _CHOSEN or ABSENT in pair or type(pair[0]) is not type(pair[1]):
                yield from _unequal(*pair, f"{where}.{key}" if where else key)
    elif isinstance(neutron, list) and isinstance(ours, list) and len(neutron) == len(ours):
        for n, pair in enumerate(zip(neutron, ours, strict=True)):
            yield from _unequal(*pair, f"{where}[{n}]")
    elif neutron != ours:
        yield where or "body", neutron, ours


def _said(body: Any) -> str:
    error = body.get("NeutronError") if isinstance(body, dict) else None
    return f"{error['type']}: {error['message']}" if isinstance(error, dict) else ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 300 else f"{text[:300]}…"


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        made = Cloud(Path(folder))
        told: dict[str, list[str]] = {}
        for found in differences(made):
            told.setdefault(found.told, []).append(found.request)
        made.close()
    for text, requests in told.items():
        print(f"{len(requests)} of {text}\n    {requests[0]}")
