"""Requests and the answers to them, in files that people read.

A line that isn't indented is a request: `[account] METHOD path [JSON body] [# Header: value]`. Accounts are made when
they are first named; `admin` is meant when none is. The indented line below is the answer, made neutral: `<id3>` is the
third id that came up, and stands for it in the requests after. `## title` starts over with a fresh cloud.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.api.cloud import Account, Cloud

NOWHERE = "00000000-0000-4000-8000-000000000000"
"""An id that nothing has."""
_REQUEST = re.compile(r"(?:([a-z]+) )?([A-Z]+) (\S+)(?: ((?!#).*?))?(?: # ([A-Za-z-]+): (.*))?")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MAC = re.compile(r"fa:16:3e(:[0-9a-f]{2}){3}")


class Section(NamedTuple):
    """One story, in a cloud of its own."""

    title: str
    requests: list[str]


def sections(path: Path) -> Iterator[Section]:
    """The stories of a file."""
    for part in path.read_text().split("## ")[1:]:
        title, *lines = part.splitlines()
        yield Section(title, [line for line in lines if line and not line.startswith((" ", "--"))])


def played(cloud: Cloud, section: Section) -> str:
    """The section with the answers of this cloud."""
    player = _Player(cloud)
    lines = [f"## {section.title}"]
    for request in section.requests:
        lines += [request, f"  {player.play(request)}"]
    return "\n".join(lines)


def _ordered(value: Any) -> Any:
    """A group's rules in an order of their own: those made together have none."""
    if isinstance(value, dict):
        return {key: _ordered(item) for key, item in value.items()}
    if isinstance(value, list) and all(isinstance(item, dict) and "security_group_id" in item for item in value):
        return sorted(value, key=lambda rule: (rule["direction"], rule["ethertype"], str(rule["protocol"])))
    return value


class _Player:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._accounts: dict[str, Account] = {"admin": cloud.admin}
        self._names: dict[str, str] = {}

    def play(self, request: str) -> str:
        found = _REQUEST.fullmatch(request)
        assert found, request
        who, method, path, body, header, value = found.groups()
        account = self._account(who or "admin")
        told = self._cloud.call(
            method,
            self._real(path),
            self._real(body).encode() if body else None,
            account.token if account else "",
            {header.lower(): self._real(value)} if header else None,
        )
        shown = json.dumps(_ordered(told.json), sort_keys=True) if told.body else ""
        return f"{told.status} {self._neutral(shown)}".rstrip()

    def _account(self, name: str) -> Account | None:
        if name == "nobody":
            return None
        if name not in self._accounts:
            self._accounts[name] = self._cloud.account(name, "reader" if name == "reader" else "member")
        return self._accounts[name]

    def _real(self, text: str) -> str:
        for real, name in self._names.items():
            text = text.replace(name, real)
        for name, account in self._accounts.items():
            text = text.replace(f"<{name}>", account.project_id)
        return text

    def _neutral(self, text: str) -> str:
        for name, account in self._accounts.items():
            text = text.replace(account.project_id, f"<{name}>")

        def named(found: re.Match[str]) -> str:
            return NOWHERE if found[0] == NOWHERE else self._names.setdefault(found[0], f"<id{len(self._names) + 1}>")

        return _UUID.sub(named, _MAC.sub("<mac>", _TIME.sub("<time>", text)))
