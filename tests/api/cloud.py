"""A cloud in memory of one process: the clients' application over a real store in a directory of the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from suimon.api.application import ClientsApp, Config
from suimon.api.gate import Gate
from suimon.api.identity import passwords, throttle, tokens
from suimon.api.identity.first_admin import AccountFiles, ensure_admin
from suimon.api.identity.logins import Logins
from suimon.api.identity.service import IdentityService
from suimon.api.network.documents import Versions
from suimon.api.network.openapi_document import OpenApi
from suimon.api.network.service import NetworkService
from suimon.api.operations.health import Health
from suimon.api.operations.service import OperationsService
from suimon.api.policy.service import PolicyService
from suimon.api.wire import Service
from suimon.distribution.presence import HostState
from suimon.enforcement.flows import Talks
from suimon.enforcement.scope import Limits
from suimon.enforcement.world import World
from suimon.model.settings import Settings
from suimon.resources.persona import hidden_from_projects
from suimon.resources.registry import RESOURCES
from suimon.store.store import Store, StoreConfig
from tests.databases import empty_database

SETTINGS = Settings(vlans={"physnet1": ((100, 199),), "public": ()}, flat=("physnet1", "public"))


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """(status, type or title, message), in whichever dialect."""
        told = next(iter(self.json.values()))
        return self.status, told.get("type") or told["title"], told["message"]


@dataclass(frozen=True)
class Account:
    """A user in a project, with a token for it."""

    token: str
    user_id: str
    project_id: str


class Clock:
    """Real time, plus what a test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class States(dict[str, HostState]):
    """What hosts reported, as a test sets it."""

    revision = 2**31

    def state(self, host: str, noted: str = "") -> HostState:
        return self.get(host) or HostState(host=host)


class Cloud:
    """Calls the application as uvicorn would, one request after the other."""

    def __init__(self, directory: Path, url: str = "") -> None:
        """`url` is that of a store to go on with; without one, a new and empty one goes with the cloud."""
        self.directory = directory
        self.clock = Clock()
        self.states = States()
        self._runner = asyncio.Runner()
        self._opened = ExitStack()
        self.store = Store(StoreConfig(url=url or self._opened.enter_context(empty_database()), settings=SETTINGS))
        self.store.open()
        self.passwords = passwords.Passwords(passwords.Config(log2_n=4))
        gate = Gate(self.store, self.clock)
        login = tokens.Tokens(tokens.Config(), gate, Logins(gate, self.passwords, throttle.Throttle(throttle.Config())))
        self.engines = World(hidden_from_projects(), Limits(max_s=60))
        self.services: dict[str, Service] = {
            "": Versions(),
            "openapi.json": OpenApi(RESOURCES),
            "v2.0": NetworkService(gate, RESOURCES),
            "identity": IdentityService(gate, self.passwords, login),
            "operations": OperationsService(gate, self.states),
            "policy": PolicyService(gate, self.engines, Talks(self.store)),
            "healthz": Health(self.store),
        }
        self.app = ClientsApp(Config(), self.services)
        self.files = AccountFiles(directory=directory, url="http://cloud:9696")
        self.run(ensure_admin(self.store, self.passwords, self.files))
        self.admin_password = self.files.clouds_yaml.read_text().split('password: "')[1].split('"')[0]
        self.admin = self.login("admin", self.admin_password, "admin")

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)

    def close(self) -> None:
        self.store.close()
        self._opened.close()
        self.passwords.close()
        self._runner.close()

    def call(
        self, method: str, path: str, body: object = None, token: str = "", headers: dict[str, str] | None = None
    ) -> Answer:
        """`body` may be bytes; everything else is sent as JSON. `token` "" sends none."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        given = {"host": "cloud:9696", "content-length": str(len(sent)), **(headers or {})}
        if token:
            given["x-auth-token"] = token
        return self.call_with_parts(method, path, given, iter([sent]))

    def call_with_parts(self, method: str, path: str, headers: dict[str, str], parts: Iterator[bytes]) -> Answer:
        """The body comes piece by piece, as it does on the wire."""
        return self.run(self._call(method, path, headers, parts))

    async def _call(self, method: str, path: str, headers: dict[str, str], parts: Iterator[bytes]) -> Answer:
        url = urlsplit(path)
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": url.path,
            "query_string": url.query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("192.0.2.1", 4000),
            "server": ("127.0.0.1", 9696),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            part = next(parts, None)
            return {"type": "http.request", "body": part or b"", "more_body": part is not None}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        got = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], got, b"".join(message.get("body", b"") for message in sent[1:]))

    def login(self, user: str, password: str, project: str) -> Account:
        scope = {"project": {"name": project, "domain": {"name": "Default"}}}
        told = self.call("POST", "/identity/v3/auth/tokens", login_body(user, password, scope))
        assert told.status == 201, told.body
        token = told.json["token"]
        return Account(told.headers["x-subject-token"], token["user"]["id"], token["project"]["id"])

    def account(self, name: str, role: str = "member") -> Account:
        """A new user `name` with this role in a new project of the same name."""

        def made(path: str, body: object) -> str:
            told = self.call("POST", f"/identity/v3/{path}", body, self.admin.token)
            assert told.status == 201, told.body
            return str(next(iter(told.json.values()))["id"])

        project = made("projects", {"project": {"name": name, "domain_id": "default"}})
        user = made("users", {"user": {"name": name, "password": name, "domain_id": "default"}})
        roles = self.call("GET", f"/identity/v3/roles?name={role}", token=self.admin.token).json["roles"]
        grant = f"/identity/v3/projects/{project}/users/{user}/roles/{roles[0]['id']}"
        assert self.call("PUT", grant, token=self.admin.token).status == 204
        return self.login(name, name, name)

    def counted(self, ask: Callable[[], Answer]) -> tuple[Answer, list[str]]:
        """The answer, and the SQL that the driver executed for it, but for what opens a new connection."""
        heard: list[str] = []
        self.store.trace(heard.append)
        try:
            return ask(), [statement for statement in heard if not statement.startswith("PRAGMA")]
        finally:
            self.store.trace(None)


def login_body(user: str, password: str, scope: object = None) -> dict[str, Any]:
    """As openstacksdk sends it."""
    proof = {"user": {"name": user, "domain": {"name": "Default"}, "password": password}}
    body: dict[str, Any] = {"auth": {"identity": {"methods": ["password"], "password": proof}}}
    if scope is not None:
        body["auth"]["scope"] = scope
    return body
