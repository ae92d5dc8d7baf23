"""Requests that follow from the OpenAPI document, and some that don't quite: whatever is asked, the API answers as the
document says, and never with a fault of its own.

`python -m tests.api.fuzz --examples N` plays N requests or a few more, in stories of `STORY_LENGTH`; each story begins
with the same small cloud, which has one of everything, and its requests name what is there. Hypothesis makes them, and
when one fails it tells the shortest story that does.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import structlog
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.api.cloud import Account, Answer, Cloud
from tests.api.fuzz_requests import NOT_THERE, Api, Asked, Known
from tests.databases import memory

STORY_LENGTH: Final = 10


def _subnet(network: int, cidr: str) -> dict[str, Any]:
    return {"network_id": Known("network", network), "ip_version": 4, "cidr": cidr}


BEGINNING: Final[tuple[tuple[str, str, str, Any], ...]] = (
    ("admin", "POST", "/v2.0/networks", {"network": {"router:external": True}}),
    ("admin", "POST", "/v2.0/subnets", {"subnet": _subnet(0, "203.0.113.0/24")}),
    ("member", "POST", "/v2.0/networks", {"network": {}}),
    ("member", "POST", "/v2.0/subnets", {"subnet": _subnet(1, "10.0.0.0/24")}),
    ("member", "POST", "/v2.0/routers", {"router": {"external_gateway_info": {"network_id": Known("network", 0)}}}),
    ("member", "PUT", "/v2.0/routers/{id}/add_router_interface", {"subnet_id": Known("subnet", 1)}),
    ("admin", "POST", "/v2.0/ports", {"port": {"network_id": Known("network", 1), "device_owner": "compute:nova",
                                               "fixed_ips": [{"ip_address": "10.0.0.9"}]}}),
)  # fmt: skip
"""A way outside, and a port behind it."""
SEEDS: Final[dict[str, dict[str, Any]]] = {
    "conntrack_helper": {"protocol": "udp", "port": 69, "helper": "tftp"},
    "default_security_group_rule": {"protocol": "tcp"},
    "local_ip": {"network_id": Known("network", 1)},
    "log": {"resource_type": "security_group"},
    "metering_label_rule": {"remote_ip_prefix": "10.0.0.0/8"},
    "network_segment_range": {"network_type": "vxlan", "minimum": 5000, "maximum": 5009},
    "port_forwarding": {"protocol": "tcp", "internal_port": 80, "external_port": 8080},
    "rbac_policy": {
        "object_type": "network",
        "object_id": Known("network", 1),
        "action": "access_as_shared",
        "target_tenant": "*",
    },
    "security_group_rule": {"protocol": "udp"},
    "service_profile": {"metainfo": "{}"},
}
"""What one of a kind needs besides what every one needs."""


class Story:
    """A cloud, and what a story has made in it so far."""

    def __init__(self, cloud: Cloud, api: Api, accounts: Mapping[str, Account], known: Mapping[str, list[str]]) -> None:
        self._cloud = cloud
        self._api = api
        self._accounts = accounts
        self.known = {kind: [*ids] for kind, ids in known.items()}

    def play(self, asked: Asked) -> Answer:
        """Asks, and remembers what was made."""
        parts = iter(asked.ids)
        path = "/".join(self._text(next(parts)) if it.startswith("{") else it for it in asked.template.split("/"))
        query = urlencode([(name, str(self._real(value))) for name, value in asked.query])
        account = self._accounts.get(asked.account)
        answer = self._cloud.call(
            asked.method,
            f"{path}?{query}" if query else path,
            None if asked.body is None else self._real(asked.body),
            account.token if account else "",
            dict(asked.headers),
        )
        if answer.status == 201 and answer.body:
            for made in (answer.json or {}).values():
                things = made if isinstance(made, list) else [made]
                ids = [thing["id"] for thing in things if isinstance(thing, dict) and "id" in thing]
                self.known.setdefault(self._api.kind_made(asked), []).extend(ids)
        return answer

    def _text(self, value: Known | str) -> str:
        return quote(str(self._real(value)), safe="")

    def _real(self, value: Any) -> Any:
        match value:
            case Known(kind=kind, pick=pick):
                ids = self.known.get(kind) or [NOT_THERE]
                return ids[pick % len(ids)]
            case dict():
                return {key: self._real(item) for key, item in value.items()}
            case list():
                return [self._real(item) for item in value]
        return value


def _cloud(folder: Path) -> Cloud:
    return Cloud(folder, f"sqlite:///{folder / 'store.db'}")


class Template:
    """A store with one of everything that can be made knowing only ids, to begin each story with."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        cloud = _cloud(folder)
        try:
            self.api = Api(cloud.call("GET", "/openapi.json").json)
            self.accounts = {
                "admin": cloud.admin,
                "member": cloud.account("member"),
                "reader": cloud.account("reader", "reader"),
            }
            self.known = {"project": [account.project_id for account in self.accounts.values()]}
            self._fill(cloud)
        finally:
            cloud.close()

    @contextmanager
    def story(self) -> Iterator[Story]:
        """A copy of it."""
        with tempfile.TemporaryDirectory(dir=memory()) as name:
            shutil.copytree(self._folder, name, dirs_exist_ok=True)
            cloud = _cloud(Path(name))
            try:
                yield Story(cloud, self.api, self.accounts, self.known)
            finally:
                cloud.close()

    def _fill(self, cloud: Cloud) -> None:
        """Makes what it can until nothing more can be made: what is made may be what others need."""
        story = Story(cloud, self.api, self.accounts, self.known)
        for account, method, path, body in BEGINNING:
            made = story.play(Asked(account, method, path, tuple(self.api.ids(path)), (), body, {}))
            assert made.status in (200, 201), made.body
        left = [
            (path, it) for method, path, it in self.api.operations if method == "post" and "create" in it["summary"]
        ]
        while True:
            done = [it for it in left if story.play(self._least(*it)).status == 201]
            if not done:
                break
            left = [it for it in left if it not in done]
        self.known = story.known
        self.missing = [path for path, _ in left]

    def _least(self, path: str, operation: Mapping[str, Any]) -> Asked:
        """What creates with as little as can be given."""
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = self._least_of(schema, "")
        kind = operation["tags"][0]
        body.get(kind, {}).update(SEEDS.get(kind, {}))
        return Asked("admin", "POST", path, tuple(self.api.ids(path)), (), body, {})

    def _least_of(self, schema: Mapping[str, Any], name: str) -> Any:
        match schema:
            case {"$ref": _}:
                return self._least_of(self.api.found(schema), name)
            case {"anyOf": [first, *_]}:
                return self._least_of({**{k: v for k, v in schema.items() if k != "anyOf"}, **first}, name)
            case {"enum": [first, *_]}:
                return first
            case {"type": "object"}:
                return {key: self._least_of(schema["properties"][key], key) for key in schema.get("required", ())}
            case {"type": "string", "format": "uuid"}:
                return Known(self.api.kind(name), 0)
            case {"type": "string", "format": format_}:
                return {"ipv4": "10.0.0.9", "ipv6": "fd00::9", "cidr": "10.0.0.0/24", "mac": "fa:16:3e:0:0:9"}[format_]
            case {"type": "integer"}:
                return schema.get("minimum", 4)
            case {"type": "boolean"}:
                return True
            case {"type": "array" | ["array", "null"]}:
                return [self._least_of(schema.get("items", {}), name)]
        return "n"


def explore(template: Template, requests: int, beginning: int = 1) -> Counter[int]:
    """Plays at least so many requests → how many had which status. `beginning` is where chance begins.

    Raises AssertionError with the shortest story that was answered wrongly.
    """
    statuses: Counter[int] = Counter()

    @seed(beginning)
    @settings(
        max_examples=-(-requests // STORY_LENGTH),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(template.api.requests(), min_size=STORY_LENGTH, max_size=STORY_LENGTH))
    def tell(asked: list[Asked]) -> None:
        with template.story() as story:
            for request in asked:
                answer = story.play(request)
                statuses[answer.status] += 1
                complaint = template.api.complaint(request, answer)
                assert complaint is None, f"{request.method} {request.template}: {complaint}\n{json.dumps(answer.json)}"

    tell()
    return statuses


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.api.fuzz", description="Does the API keep to its document?")
    parser.add_argument("--examples", type=int, default=20_000, metavar="N", help="requests to play (20,000)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="where chance begins (1)")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        statuses = explore(Template(Path(folder)), options.examples, options.seed)
    print(
        f"{statuses.total()} requests:", ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
