"""Who has which role where: assignments under a project, and the list of all."""

from typing import Final

from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.identity.people import listed
from suimon.api.identity.shapes import DOMAIN, shown
from suimon.api.wire import Call, no_content
from suimon.model.actor import Actor
from suimon.model.identity import Project, Role, RoleAssignment, User
from suimon.resources import identity
from suimon.store.tx import Tx

_FILTERS: Final = {"user.id": "user_id", "scope.project.id": "project_id", "role.id": "role_id"}
_ABSENT: Final = ("", "None")


class Grants:
    """The handlers of `/projects/P/users/U/roles/R` and `/role_assignments`."""

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

    async def roles(self, call: Call, actor: Actor, project_id: str, user_id: str) -> Response:
        """GET /projects/P/users/U/roles."""

        def find(tx: Tx) -> list[Role]:
            found = identity.list_assignments(tx, actor, {"project_id": project_id, "user_id": user_id})
            return tx.select(Role, {"id": [assignment.role_id for assignment in found]}) if found else []

        return listed(call, "roles", [shown(role, call.origin) for role in await self._gate.store.read(find)])

    async def index(self, call: Call, actor: Actor) -> Response:
        """GET /role_assignments, with names when `include_names` asks for them."""
        query = {key: value for key, value in call.query() if value not in _ABSENT}
        where = {field: query[key] for key, field in _FILTERS.items() if key in query}
        with_names = query.get("include_names", "false").lower() not in ("false", "0")

        def find(tx: Tx) -> list[dict[str, object]]:
            found = identity.list_assignments(tx, actor, where)
            return [_told(tx, assignment, with_names) for assignment in found]

        return listed(call, "role_assignments", await self._gate.store.read(find))


def _assignment(project_id: str, user_id: str, role_id: str) -> RoleAssignment:
    return RoleAssignment(user_id=user_id, project_id=project_id, role_id=role_id)


def _told(tx: Tx, assignment: RoleAssignment, with_names: bool) -> dict[str, object]:
    """One assignment; a name costs a statement the first time it is met."""

    def thing(kind: type[Project | User | Role], thing_id: str) -> dict[str, object]:
        told: dict[str, object] = {"id": thing_id}
        if with_names and (named := tx.get(kind, thing_id)):
            told["name"] = named.name
            if kind is not Role:
                told["domain"] = DOMAIN
        return told

    return {
        "user": thing(User, assignment.user_id),
        "role": thing(Role, assignment.role_id),
        "scope": {"project": thing(Project, assignment.project_id)},
        "links": {},
    }
