"""Who asks in the matrix, what he asks about, and the lines of its table: `test_matrix` goes through them.

The things are project red's. A letter is a persona: red's m(ember), r(eader) and M(anager), a member of an o(ther)
project, an a(dmin) elsewhere, a s(ervice) elsewhere; `-` sends no token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

from suimon.model.actor import SYSTEM
from suimon.model.things import Host
from tests.api.cloud import Answer, Cloud

CANARY = "canary-of-red"
"""In every name and description of red's things: whoever may not see them must never read it."""
LETTERS = "mrMoas"
Ids = tuple[str, ...]
IDENTITY = "/identity/v3"


class Stage:
    """A cloud with these people, and short ways to make red's things, each a new one."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.tokens = {
            "-": "",
            "a": cloud.admin.token,
        }  # The first account has every role; the matrix needs one that is admin only.
        self.red = self._project("red", m="member", r="reader", M="manager")
        self.blue = self._project("blue", o="member")
        self.services = self._project("services", s="service")
        self.operators = self._project("operators", a="admin")
        self._numbers = count(1)
        self.behind: dict[str, str] = {}
        """Id of a thing → id of what was made for it."""
        self.unlimited()

    def unlimited(self) -> Ids:
        """Nothing is refused for want of quota; red's, which is one of its things."""
        limits = self.do("a", "GET", f"quotas/{self.red}").json["quota"]
        unlimited = {"quota": {name: -1 for name in limits if name not in ("project_id", "tenant_id")}}
        for project in (self.red, self.blue, self.services, self.operators):
            assert self.do("a", "PUT", f"quotas/{project}", unlimited).status == 200
        return (self.red,)

    def do(self, letter: str, method: str, path: str, body: object = None) -> Answer:
        prefix = "" if path.startswith("/") else "/v2.0/"
        return self.cloud.call(method, f"{prefix}{path}", body, self.tokens[letter])

    def made(self, path: str, singular: str, body: Mapping[str, object], by: str = "m") -> dict[str, Any]:
        told = self.do(by, "POST", path, {singular: {**body}})
        assert told.status == 201, (path, told.body)
        shown: dict[str, Any] = told.json[singular]
        return shown

    def number(self) -> int:
        return next(self._numbers)

    def network(self, **more: object) -> str:
        return str(self.made("networks", "network", {"name": CANARY, **more})["id"])

    def subnet(self, network: str, **more: object) -> str:
        return str(self.made("subnets", "subnet", self.a_subnet(network) | more)["id"])

    def a_subnet(self, network: str) -> dict[str, object]:
        number = self.number()
        cidr = f"10.{number // 250}.{number % 250}.0/24"
        return {"network_id": network, "ip_version": 4, "cidr": cidr, "name": CANARY}

    def port(self, network: str = "", **more: object) -> str:
        network = network or self.network()
        return str(self.made("ports", "port", {"network_id": network, "name": CANARY, **more})["id"])

    def address(self, port: str) -> str:
        return str(self.do("a", "GET", f"ports/{port}").json["port"]["fixed_ips"][0]["ip_address"])

    def host(self) -> str:
        name = f"hv{self.number()}"
        joined_at = datetime(2026, 1, 1, tzinfo=UTC)
        host = Host(name=name, tunnel_ip=f"192.0.2.{self.number() % 250}", physnets=(), joined_at=joined_at)
        self.cloud.run(self.cloud.store.write(lambda tx: tx.insert(host), SYSTEM))
        return name

    def outside(self) -> str:
        network = str(self.made("networks", "network", {"router:external": True}, "a")["id"])
        self.made("subnets", "subnet", self.a_subnet(network) | {"name": ""}, "a")
        return network

    def router(self, **more: object) -> str:
        return str(self.made("routers", "router", {"name": CANARY, **more})["id"])

    def routed(self) -> tuple[str, str, str]:
        """An outside, a router with its gateway there, and a port with an address behind the router."""
        outside, network = self.outside(), self.network()
        router = self.router(external_gateway_info={"network_id": outside})
        subnet = self.subnet(network)
        assert self.do("m", "PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet}).status == 200
        return outside, router, self.port(network)

    def _project(self, name: str, **people: str) -> str:
        project = self._identity("projects", "project", {"name": name})
        roles = {one["name"]: one["id"] for one in self.do("a", "GET", f"{IDENTITY}/roles").json["roles"]}
        for letter, role in people.items():
            user = self._identity("users", "user", {"name": f"{name}-{role}", "password": "p"})
            grant = f"{IDENTITY}/projects/{project}/users/{user}/roles/{roles[role]}"
            assert self.do("a", "PUT", grant).status == 204
            self.tokens[letter] = self.cloud.login(f"{name}-{role}", "p", name).token
        return project

    def _identity(self, plural: str, singular: str, body: object) -> str:
        told = self.do("a", "POST", f"{IDENTITY}/{plural}", {singular: body})
        assert told.status == 201, told.body
        return str(told.json[singular]["id"])


Body = Callable[[Stage, Ids], object]


class Trial(NamedTuple):
    """What is tried: whom it is let, with which status, and how those are refused who aren't as others are (`*`: all).

    `last` is the id at the end of a pattern that has one more than the line's things have.
    """

    let: str
    status: int = 200
    body: Body | None = None
    refused: Mapping[str, int] = {}
    last: Body | None = None


class Line(NamedTuple):
    """One resource. `new` makes one of red's and says its id, below its parent's if it has one.

    `sees` are those to whom it is shown; the other fields are for whom it is let, with what is sent. `more` has the
    actions and whatever else is below it, `METHOD pattern` as the registry writes it.
    """

    new: Callable[[Stage], Ids]
    sees: str
    lists: bool = True
    shows: bool = True
    create: Trial | None = None
    update: Trial | None = None
    delete: Trial | None = None
    tags: str | None = None
    more: Mapping[str, Trial] = {}

    def trials(self) -> Iterator[tuple[str, Trial]]:
        """All that can be tried, by `METHOD pattern`; the pattern is what is behind the collection's path."""
        if self.shows:
            yield "GET {}", Trial(self.sees)
        if self.create:
            yield "POST", self.create
        if self.update:
            yield "PUT {}", self.update
        if self.tags is not None:
            yield from self._tag_trials(self.tags)
        yield from self.more.items()
        if self.delete:
            yield "DELETE {}", self.delete

    def operations(self) -> set[str]:
        """Everything that the line speaks of."""
        return {name for name, _ in self.trials()} | ({"GET"} if self.lists else set())

    def _tag_trials(self, let: str) -> Iterator[tuple[str, Trial]]:
        yield "GET {}/tags", Trial(self.sees)
        yield "GET {}/tags/{}", Trial(self.sees, 204, last=_tag)
        yield "PUT {}/tags/{}", Trial(let, 201, last=_tag)
        yield "PUT {}/tags", Trial(let, 200, _tags)
        yield "POST {}/tags", Trial(let, 200, _tags)
        yield "DELETE {}/tags/{}", Trial(let, 204, last=_tag)
        yield "DELETE {}/tags", Trial(let, 204)


def _tag(_stage: Stage, _ids: Ids) -> object:
    return "t"


def _tags(_stage: Stage, _ids: Ids) -> object:
    return {"tags": ["t"]}
