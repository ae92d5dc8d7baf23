"""The table of identity calls."""

from collections.abc import Callable
from typing import Final

from starlette.responses import Response

from suimon.api.errors import NotImplementedHere, identity_error
from suimon.api.gate import Gate
from suimon.api.identity import catalog
from suimon.api.identity.application_credentials import Credentials
from suimon.api.identity.grants import Grants
from suimon.api.identity.logins import Logins
from suimon.api.identity.passwords import Passwords
from suimon.api.identity.people import KINDS, People, listed
from suimon.api.identity.shapes import DOMAIN
from suimon.api.identity.tokens import Tokens
from suimon.api.routes import Handler, Routes
from suimon.api.wire import Call, answer
from suimon.model.actor import Actor
from suimon.model.errors import NotFound
from suimon.model.identity import DOMAIN_ID, DOMAIN_NAME
from suimon.resources.identity import require_admin

_GRANTS: Final = ("v3/projects/*/users/*/roles", "v3/system/users/*/roles")
_CREDENTIALS: Final = "v3/users/*/application_credentials"


class IdentityService:
    """Answers under `/identity`. Logging in and the version documents need no token, everything else does."""

    dialect = staticmethod(identity_error)

    def __init__(self, gate: Gate, passwords: Passwords, tokens: Tokens) -> None:
        self._gate = gate
        self._open = {
            ("GET", ()): self._versions,
            ("GET", ("v3",)): self._version,
            ("POST", ("v3", "auth", "tokens")): tokens.issue,
        }
        self._routes = Routes(
            _tokens(tokens)
            | _people(gate, passwords, tokens.logins)
            | _grants(Grants(gate))
            | _credentials(Credentials(gate, passwords))
            | _documents()
            | _not_here()
        )

    async def answer(self, call: Call) -> Response:
        """Raises what the handlers raise."""
        method = "GET" if call.method == "HEAD" else call.method
        if anybody := self._open.get((method, call.segments)):
            return await anybody(call)
        actor = await self._gate.actor(call)
        handler, ids = self._routes.find(method, call.segments)
        return await handler(call, actor, *ids)

    async def _versions(self, call: Call) -> Response:
        return answer({"versions": {"values": [catalog.version(call.origin)]}}, 300)

    async def _version(self, call: Call) -> Response:
        return answer({"version": catalog.version(call.origin)})


def _tokens(tokens: Tokens) -> dict[str, Handler]:
    return {
        "GET v3/auth/tokens": tokens.show,
        "DELETE v3/auth/tokens": tokens.revoke,
        "GET v3/auth/catalog": tokens.catalog,
        "GET v3/auth/projects": tokens.projects,
        "GET v3/auth/domains": tokens.domains,
        "GET v3/auth/system": tokens.system,
    }


def _people(gate: Gate, passwords: Passwords, logins: Logins) -> dict[str, Handler]:
    routes: dict[str, Handler] = {}
    for plural, kind in KINDS.items():
        people = People(kind, gate, passwords, logins)
        routes |= {
            f"GET v3/{plural}": people.index,
            f"POST v3/{plural}": people.create,
            f"GET v3/{plural}/*": people.show,
            f"PATCH v3/{plural}/*": people.update,
            f"DELETE v3/{plural}/*": people.delete,
        }
        if plural == "users":
            routes |= {"POST v3/users/*/password": people.change_password, "GET v3/users/*/projects": people.projects}
    return routes


def _grants(grants: Grants) -> dict[str, Handler]:
    routes: dict[str, Handler] = {
        "GET v3/role_assignments": grants.index,
        "GET v3/role_inferences": grants.inferences,
        "GET v3/roles/*/implies": grants.implied,
        "GET v3/roles/*/implies/*": grants.implied,
    }
    for path in _GRANTS:
        routes |= {
            f"PUT {path}/*": grants.add,
            f"DELETE {path}/*": grants.remove,
            f"GET {path}/*": grants.check,
            f"GET {path}": grants.roles,
        }
    return routes


def _credentials(credentials: Credentials) -> dict[str, Handler]:
    return {
        f"GET {_CREDENTIALS}": credentials.index,
        f"POST {_CREDENTIALS}": credentials.create,
        f"GET {_CREDENTIALS}/*": credentials.show,
        f"DELETE {_CREDENTIALS}/*": credentials.delete,
        "GET v3/users/*/access_rules": credentials.access_rules,
    }


def _not_here() -> dict[str, Handler]:
    """What Keystone has besides and clients look at: there are no groups, and nothing can be made of them."""

    async def none(call: Call, actor: Actor, user_id: str = "") -> Response:
        if user_id != actor.user_id:
            require_admin(actor, "list_groups")
        return listed(call, "groups", [])

    async def missing(call: Call, actor: Actor, thing_id: str) -> Response:
        raise NotFound(f"Could not find group: {thing_id}.")

    async def unmade(call: Call, actor: Actor, *ids: str) -> Response:
        require_admin(actor, f"{call.method.lower()}_{call.segments[1]}")
        raise NotImplementedHere(
            "The action you have requested has not been implemented: one domain, no groups, and "
            "a fixed catalog and chain of implied roles are all there is."
        )

    routes: dict[str, Handler] = {"GET v3/groups": none, "GET v3/users/*/groups": none, "GET v3/groups/*": missing}
    for plural in ("groups", "domains", "services", "endpoints", "regions"):
        routes |= {f"POST v3/{plural}": unmade, f"PATCH v3/{plural}/*": unmade, f"DELETE v3/{plural}/*": unmade}
    for path in ("v3/domains/*/users/*/roles/*", "v3/projects/*/groups/*/roles/*", "v3/roles/*/implies/*"):
        routes |= {f"PUT {path}": unmade, f"DELETE {path}": unmade}
    return routes


def _documents() -> dict[str, Handler]:
    """What is the same for everybody: the domain, and the catalog as administrators list it."""

    async def domains(call: Call, actor: Actor) -> Response:
        wanted = dict(call.query()).get("name", DOMAIN_NAME)
        return listed(call, "domains", [_domain(call)] if wanted == DOMAIN_NAME else [])

    async def domain(call: Call, actor: Actor, domain_id: str) -> Response:
        if domain_id != DOMAIN_ID:
            raise NotFound(f"Could not find domain: {domain_id}.")
        return answer({"domain": _domain(call)})

    routes: dict[str, Handler] = {"GET v3/domains": domains, "GET v3/domains/*": domain}
    for word, documents in (
        ("service", catalog.services),
        ("endpoint", catalog.endpoints),
        ("region", catalog.regions),
    ):
        routes |= _read_only(word, documents)
    return routes


def _domain(call: Call) -> dict[str, object]:
    return {
        **DOMAIN,
        "description": "",
        "enabled": True,
        "links": {"self": f"{call.origin}/identity/v3/domains/{DOMAIN_ID}"},
    }


def _read_only(word: str, documents: Callable[[str], list[dict[str, object]]]) -> dict[str, Handler]:
    async def index(call: Call, actor: Actor) -> Response:
        query = dict(call.query())
        kept = [d for d in documents(call.origin) if all(d[key] == query[key] for key in query if key in d)]
        return listed(call, f"{word}s", kept)

    async def show(call: Call, actor: Actor, thing_id: str) -> Response:
        found = [document for document in documents(call.origin) if document["id"] == thing_id]
        if not found:
            raise NotFound(f"Could not find {word}: {thing_id}.")
        return answer({word: found[0]})

    return {f"GET v3/{word}s": index, f"GET v3/{word}s/*": show}
