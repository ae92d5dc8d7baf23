"""A Keystone of a few lines, which fails as it is told to and counts what it is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web


class FakeKeystone:
    """`tokens` are known; `broken` is a status to answer with instead, `garbage` a body."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.own: set[str] = set()
        self.logins = 0
        self.asked: list[str] = []
        self.broken = 0
        self.garbage: str | None = None
        self.refuses = False
        self.lifetime = timedelta(hours=1)
        self._runner: web.AppRunner | None = None
        self.url = ""

    def give(self, token: str, *roles: str, user: str = "u", project: str = "p") -> None:
        self.tokens[token] = {"user": user, "project": project, "roles": roles}

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v3/auth/tokens", self._login)
        app.router.add_get("/v3/auth/tokens", self._validate)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner
        await self._runner.cleanup()

    async def _login(self, request: web.Request) -> web.Response:
        self.logins += 1
        body = await request.json()
        user = body["auth"]["identity"]["password"]["user"]
        if self.refuses or user["password"] != "right":
            return web.json_response({"error": {}}, status=401)
        token = f"own{self.logins}"
        self.own.add(token)
        return web.json_response(
            self._told("suimon", "service", ["service"]), status=201, headers={"X-Subject-Token": token}
        )

    async def _validate(self, request: web.Request) -> web.Response:
        token = request.headers["X-Subject-Token"]
        self.asked.append(token)
        if self.broken:
            return web.json_response({}, status=self.broken)
        if self.garbage is not None:
            return web.Response(text=self.garbage)
        if request.headers["X-Auth-Token"] not in self.own:
            return web.json_response({"error": {}}, status=401)
        if token not in self.tokens:
            return web.json_response({"error": {}}, status=404)
        known = self.tokens[token]
        return web.json_response(self._told(known["user"], known["project"], known["roles"]))

    def _told(self, user: str, project: str, roles: Any) -> dict[str, Any]:
        ends = (datetime.now(UTC) + self.lifetime).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        told = {"user": {"id": user}, "roles": [{"name": role} for role in roles], "expires_at": ends}
        return {"token": told | ({"project": {"id": project}} if project else {})}
