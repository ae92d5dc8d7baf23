"""Who has which role where: assignments under a project or the system, the list of all, and what a role implies."""

from typing import Final

import msgspec
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.identity.people import listed
from suimon.api.identity.shapes import DOMAIN, shown
from suimon.api.wire import Call, answer, no_content
from suimon.model.actor import Actor
from suimon.model.errors import NotFound
from suimon.model.identity import IMPLIED, WHOLE_SYSTEM, Project, Role, RoleAssignment, User
from suimon.resources import identity
from suimon.store.tx import Tx

_FILTERS: Final = {"user.id": "user_id", "scope.project.id": "project_id", "role.id": "role_id"}
_OF_NONE: Final = ("group.id", "scope.domain.id", "scope.OS-INHERIT:inherited_to")
"""Filters for assignments of kinds that don't exist here."""
_ABSENT: Final = ("", "None")
_FALSE: Final = ("false", "0")


class Grants:
    """The handlers of `/projects/P/users/U/roles/R`, `/system/users/U/roles/R` and `/role_assignments`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def add(self, call: Call, actor: Actor, *ids: str) -> Response:
        """PUT: gives the role."""
        wanted = _assignment(*ids)
        await self._gate.store.write(lambda tx: identity.assign_role(tx, actor, wanted), actor)
        return no_content()

    async def remove(self, call: Call, actor: Actor, *ids: str) -> Response:
        """DELETE: takes it away."""
        unwanted = _assignment(*ids)
        await self._gate.store.write(lambda tx: identity.unassign_role(tx, actor, unwanted), actor)
        return no_content()

    async def check(self, call: Call, actor: Actor, *ids: str) -> Response:
        """GET (and HEAD): 204 or 404."""
        asked = _assignment(*ids)
        await self._gate.store.read(lambda tx: identity.require_assigned(tx, actor, asked))
        return no_content()

    async def roles(self, call: Call, actor: Actor, *ids: str) -> Response:
        """GET /projects/P/users/U/roles and /system/users/U/roles."""
        asked = _assignment(*ids, "")
        where = {"project_id": asked.project_id, "user_id": asked.user_id}

        def find(tx: Tx) -> list[Role]:
            found = identity.list_assignments(tx, actor, where)
            return tx.select(Role, {"id": [assignment.role_id for assignment in found]}) if found else []

        return listed(call, "roles", [shown(role, call.origin) for role in await self._gate.store.read(find)])

    async def index(self, call: Call, actor: Actor) -> Response:
        """GET /role_assignments, with names when `include_names` asks for them, with what they imply if `effective`."""
        query = {key: value for key, value in call.query() if value not in _ABSENT}
        where = {field: query[key] for key, field in _FILTERS.items() if key in query}
        if "scope.system" in query:
            where["project_id"] = WHOLE_SYSTEM
        none = any(key in query for key in _OF_NONE)

        def find(tx: Tx) -> list[dict[str, object]]:
            found = identity.list_assignments(tx, actor, where, effective=_is_set(query, "effective"))
            if none:
                return []
            names = _names(tx, found) if _is_set(query, "include_names") else {}
            return [_told(assignment, names, call.origin) for assignment in found]

        return listed(call, "role_assignments", await self._gate.store.read(find))

    async def inferences(self, call: Call, actor: Actor) -> Response:
        """GET /role_inferences: which role implies which."""
        found = await self._gate.store.read(lambda tx: identity.list_named(tx, actor, Role, {}))
        rules = [_inference(role, found) for role in found if role.name in IMPLIED]
        return answer({"role_inferences": rules, "links": {"self": f"{call.origin}/identity/v3/role_inferences"}})

    async def implied(self, call: Call, actor: Actor, role_id: str, implied_id: str = "") -> Response:
        """GET /roles/R/implies, and /roles/R/implies/R2, which is 404 unless it does."""
        found = await self._gate.store.read(lambda tx: identity.list_named(tx, actor, Role, {}))
        prior = next((role for role in found if role.id == role_id), None)
        if prior is None:
            raise NotFound(f"Could not find role: {role_id}.")
        following = [role for role in found if role.name == IMPLIED.get(prior.name)]
        if not implied_id:
            return answer({"role_inference": _inference(prior, found), "links": {}})
        if implied_id not in [role.id for role in following]:
            raise NotFound(f"{role_id} does not imply {implied_id}")
        if call.method == "HEAD":
            return no_content()
        return answer({"role_inference": {"prior_role": _word(prior), "implies": _word(following[0])}})


def _is_set(query: dict[str, str], flag: str) -> bool:
    return query.get(flag, "false").lower() not in _FALSE


def _assignment(*ids: str) -> RoleAssignment:
    """Of (project, user, role), or (user, role) in the whole system. Raises NotFound for what is no project's id."""
    *project, user_id, role_id = ids
    if WHOLE_SYSTEM in project:
        raise NotFound(f"Could not find project: {WHOLE_SYSTEM}.")
    return RoleAssignment(user_id=user_id, project_id=project[0] if project else WHOLE_SYSTEM, role_id=role_id)


def _names(tx: Tx, found: list[RoleAssignment]) -> dict[str, str]:
    """Id → name of whatever they speak of: a statement for each kind, however many they are."""
    asked: dict[type[Project | User | Role], set[str]] = {
        Project: {one.project_id for one in found},
        User: {one.user_id for one in found},
        Role: {one.role_id for one in found},
    }
    return {
        thing.id: thing.name for kind, ids in asked.items() if ids for thing in tx.select(kind, {"id": sorted(ids)})
    }


def _told(assignment: RoleAssignment, names: dict[str, str], origin: str) -> dict[str, object]:
    def thing(thing_id: str) -> dict[str, object]:
        return {"id": thing_id, "name": names[thing_id], "domain": DOMAIN} if thing_id in names else {"id": thing_id}

    role = thing(assignment.role_id)
    role.pop("domain", None)
    whole = assignment.project_id == WHOLE_SYSTEM
    place = "system" if whole else f"projects/{assignment.project_id}"
    return {
        "user": thing(assignment.user_id),
        "role": role,
        "scope": {"system": {"all": True}} if whole else {"project": thing(assignment.project_id)},
        "links": {"assignment": f"{origin}/identity/v3/{place}/users/{assignment.user_id}/roles/{assignment.role_id}"},
    }


def _inference(prior: Role, roles: list[Role]) -> dict[str, object]:
    following = [role for role in roles if role.name == IMPLIED.get(prior.name)]
    return {"prior_role": _word(prior), "implies": [_word(role) for role in following]}


def _word(role: Role) -> dict[str, object]:
    return {**msgspec.structs.asdict(role), "domain_id": None}
