"""Acts on who there is: projects, users, roles and assignments, and the tokens that follow from them.

Only admins change identity. A token's row repeats what it stands for, so whatever stops that from being true (a
password, a role, a user or project disabled or deleted) deletes the tokens concerned in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec
from sqlalchemy import Delete, bindparam, delete

from suimon.model.actor import Actor
from suimon.model.errors import Conflict, Forbidden, NotFound, Unauthorized
from suimon.model.identity import FIRST_ROLES, Project, Role, RoleAssignment, Token, User
from suimon.store.columns import time_text
from suimon.store.tables import TOKENS
from suimon.store.tx import Tx

REFUSED: Final = "The request you have made requires authentication."
"""What a caller without a valid token or password is told, whatever was wrong."""

Named = TypeVar("Named", Project, User, Role)
Values = Mapping[str, Any]

_WORDS: Final[dict[type, str]] = {Project: "project", User: "user", Role: "role"}
_EXPIRED: Final = delete(TOKENS).where(TOKENS.c.expires_at < bindparam("now"))
_OF_USER: Final = delete(TOKENS).where(TOKENS.c.user_id == bindparam("user"))
_OF_PROJECT: Final = delete(TOKENS).where(TOKENS.c.project_id == bindparam("project"))
_OF_BOTH: Final = _OF_USER.where(TOKENS.c.project_id == bindparam("project"))


class Session(msgspec.Struct, frozen=True):
    """A token with the things it names, as the token's body tells them."""

    token: Token
    user: User
    project: Project | None
    roles: tuple[Role, ...]


def require_admin(actor: Actor, act: str) -> None:
    """Raises Forbidden in Keystone's words unless the actor is an admin."""
    if not actor.admin:
        raise Forbidden(f"You are not authorized to perform the requested action: identity:{act}.")


def has_users(tx: Tx) -> bool:
    """Whether anybody has an account."""
    return bool(tx.select(User, limit=1))


def create_first_admin(tx: Tx, password_hash: str) -> bool:
    """Roles, project `admin` and user `admin`, if there is no user at all; False when there is one."""
    if has_users(tx):
        return False
    roles = [Role(id=new_id(), name=name) for name in FIRST_ROLES]
    project = Project(id=new_id(), name="admin", description="The cloud's operators.")
    user = User(id=new_id(), name="admin", password_hash=password_hash, default_project_id=project.id)
    for thing in (*roles, project, user):
        tx.insert(thing)
    for role in roles:
        tx.insert(RoleAssignment(user_id=user.id, project_id=project.id, role_id=role.id))
    return True


# Projects, users and roles: the same five acts.


def create_named(tx: Tx, actor: Actor, kind: type[Named], wanted: Values) -> Named:
    """A project, user (with a `password_hash`) or role. Raises Conflict when the name is taken."""
    require_admin(actor, f"create_{_WORDS[kind]}")
    thing = kind(id=new_id(), **wanted)
    _require_free_name(tx, thing)
    tx.insert(thing)
    return thing


def list_named(tx: Tx, actor: Actor, kind: type[Named], where: Values) -> list[Named]:
    """All projects, users or roles with these values (`id`, `name`, `enabled`), by name."""
    if kind is not Role:
        require_admin(actor, f"list_{_WORDS[kind]}s")
    return sorted(tx.select(kind, where), key=lambda thing: thing.name)


def get_named(tx: Tx, actor: Actor, kind: type[Named], thing_id: str) -> Named:
    """One of them. A user sees himself and the project of his token; anything else needs an admin. Raises NotFound."""
    if kind is not Role and thing_id not in (actor.user_id, actor.project_id):
        require_admin(actor, f"get_{_WORDS[kind]}")
    return _found(tx, kind, thing_id)


def update_named(tx: Tx, actor: Actor, kind: type[Named], thing_id: str, wanted: Values) -> Named:
    """Raises NotFound, Conflict. Disabling, a new password or a role's new name end the tokens that depend on it."""
    require_admin(actor, f"update_{_WORDS[kind]}")
    before = _found(tx, kind, thing_id)
    after = msgspec.structs.replace(before, **wanted)
    if after.name != before.name:
        _require_free_name(tx, after)
    tx.update(before, after)
    _revoke_after(tx, before, after)
    return after


def delete_named(tx: Tx, actor: Actor, kind: type[Named], thing_id: str) -> None:
    """Deletes it with its assignments and tokens. What a project owns in the network stays. Raises NotFound."""
    require_admin(actor, f"delete_{_WORDS[kind]}")
    thing: Project | User | Role = _found(tx, kind, thing_id)
    _revoke_after(tx, thing, None)
    for assignment in tx.select(RoleAssignment, {f"{_WORDS[kind]}_id": thing_id}):
        tx.delete(assignment)
    tx.delete(thing)


def set_password(tx: Tx, user: User, password_hash: str) -> None:
    """The user's own change of password; ends his tokens. Raises Conflict when the password changed meanwhile."""
    current = _found(tx, User, user.id)
    if current.password_hash != user.password_hash:
        raise Conflict("The password was changed meanwhile.")
    changed = msgspec.structs.replace(current, password_hash=password_hash)
    tx.update(current, changed)
    _revoke_after(tx, current, changed)


# Role assignments.


def assign_role(tx: Tx, actor: Actor, wanted: RoleAssignment) -> None:
    """Gives a user a role in a project; again is no error. Raises NotFound."""
    require_admin(actor, "create_grant")
    _found(tx, Project, wanted.project_id)
    _found(tx, User, wanted.user_id)
    _found(tx, Role, wanted.role_id)
    if not _assigned(tx, wanted):
        tx.insert(wanted)
        _revoke(tx, _OF_BOTH, user=wanted.user_id, project=wanted.project_id)


def unassign_role(tx: Tx, actor: Actor, unwanted: RoleAssignment) -> None:
    """Takes it away, and ends the user's tokens for the project. Raises NotFound when he has no such role there."""
    require_admin(actor, "revoke_grant")
    require_assigned(tx, actor, unwanted)
    tx.delete(unwanted)
    _revoke(tx, _OF_BOTH, user=unwanted.user_id, project=unwanted.project_id)


def require_assigned(tx: Tx, actor: Actor, asked: RoleAssignment) -> None:
    """Raises NotFound unless the user has the role in the project."""
    require_admin(actor, "check_grant")
    if not _assigned(tx, asked):
        raise NotFound(
            f"Could not find role assignment with role: {asked.role_id}, user or group: {asked.user_id}, "
            f"project, domain, or system: {asked.project_id}."
        )


def list_assignments(tx: Tx, actor: Actor, where: Values) -> list[RoleAssignment]:
    """Assignments with these values (`user_id`, `project_id`, `role_id`). A user sees his own."""
    if where.get("user_id") != actor.user_id:
        require_admin(actor, "list_role_assignments")
    return tx.select(RoleAssignment, where)


def projects_of(tx: Tx, user_id: str) -> list[Project]:
    """The enabled projects in which a user has a role, by name."""
    ids = {assignment.project_id for assignment in tx.select(RoleAssignment, {"user_id": user_id})}
    return sorted(tx.select(Project, {"id": sorted(ids), "enabled": True}), key=lambda project: project.name)


# Tokens.


def user_named(tx: Tx, where: Values) -> User | None:
    """The enabled user with this `id` or `name`, for a password check; None is not told apart from a wrong password."""
    return next(iter(tx.select(User, {**where, "enabled": True}, limit=1)), None)


def issue_token(tx: Tx, user: User, scope: Values | None, blank: Token) -> Session:
    """Completes and keeps a token for a user who has proved himself, and clears away what expired.

    `scope` is the `id` or `name` of a project; empty means his default project if he has a role there; None means
    unscoped. `blank` brings the token's hash and times. Raises Unauthorized when the user changed since, or has no role
    there.
    """
    if tx.get(User, user.id) != user:
        raise Unauthorized(REFUSED)
    project = _scope_of(tx, user, scope)
    roles = _roles_of(tx, user, project) if project else ()
    if project and not roles:
        if scope:
            raise Unauthorized(REFUSED)
        project = None
    names = tuple(role.name for role in roles)
    token = msgspec.structs.replace(blank, user_id=user.id, project_id=project.id if project else "", roles=names)
    tx.run(_EXPIRED, {"now": time_text(blank.issued_at)})
    tx.insert(token)
    return Session(token, user, project, roles)


def live_token(tx: Tx, token_id: str, now: datetime) -> Token | None:
    """The token with this hash unless it expired: ONE look-up by primary key."""
    token = tx.get(Token, token_id)
    return token if token and now < token.expires_at else None


def session_of(tx: Tx, actor: Actor, token: Token | None) -> Session:
    """What a token stands for, to its owner, an admin or a service. Raises NotFound as Keystone does for a dead one."""
    if token is None:
        raise NotFound("Failed to validate token")
    if token.user_id != actor.user_id and "service" not in actor.roles:
        require_admin(actor, "validate_token")
    project = tx.get(Project, token.project_id) if token.project_id else None
    roles = tuple(sorted(tx.select(Role, {"name": token.roles}), key=lambda role: role.name)) if token.roles else ()
    return Session(token, _found(tx, User, token.user_id), project, roles)


def revoke_token(tx: Tx, actor: Actor, token: Token | None) -> None:
    """Ends one token: one's own, or any as an admin. Raises NotFound when it is dead already."""
    if token is None:
        raise NotFound("Failed to validate token")
    if token.user_id != actor.user_id:
        require_admin(actor, "revoke_token")
    tx.delete(token)


def new_id() -> str:
    """32 hexadecimal digits, as Keystone's ids are."""
    return uuid4().hex


def _scope_of(tx: Tx, user: User, scope: Values | None) -> Project | None:
    """The project that a login asks for. Raises Unauthorized for one that isn't there or isn't enabled."""
    if scope is None or (not scope and not user.default_project_id):
        return None
    found = tx.select(Project, {**(scope or {"id": user.default_project_id}), "enabled": True}, limit=1)
    if not found and scope:
        raise Unauthorized(REFUSED)
    return found[0] if found else None


def _roles_of(tx: Tx, user: User, project: Project) -> tuple[Role, ...]:
    assigned = tx.select(RoleAssignment, {"user_id": user.id, "project_id": project.id})
    roles = tx.select(Role, {"id": [assignment.role_id for assignment in assigned]}) if assigned else []
    return tuple(sorted(roles, key=lambda role: role.name))


def _found(tx: Tx, kind: type[Named], thing_id: str) -> Named:
    thing = tx.get(kind, thing_id)
    if thing is None:
        raise NotFound(f"Could not find {_WORDS[kind]}: {thing_id}.")
    return thing


def _require_free_name(tx: Tx, thing: Project | User | Role) -> None:
    if tx.select(type(thing), {"name": thing.name}, limit=1):
        word = _WORDS[type(thing)]
        raise Conflict(f"Conflict occurred attempting to store {word} - it has a name that is taken: {thing.name}.")


def _assigned(tx: Tx, asked: RoleAssignment) -> bool:
    return bool(tx.select(RoleAssignment, msgspec.structs.asdict(asked)))


def _revoke_after(tx: Tx, before: Project | User | Role, after: Project | User | Role | None) -> None:
    """Ends the tokens that a change makes untrue."""
    match before, after:
        case Project(), Project(enabled=True):
            pass
        case Project(), _:
            _revoke(tx, _OF_PROJECT, project=before.id)
        case User(password_hash=old), User(password_hash=new, enabled=True) if old == new:
            pass
        case User(), _:
            _revoke(tx, _OF_USER, user=before.id)
        case Role(name=old_name), Role(name=new_name) if old_name == new_name:
            pass
        case Role(), _:
            for assignment in tx.select(RoleAssignment, {"role_id": before.id}):
                _revoke(tx, _OF_BOTH, user=assignment.user_id, project=assignment.project_id)


def _revoke(tx: Tx, statement: Delete, **of: str) -> None:
    tx.run(statement, of)
