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
from suimon.model.identity import (
    FIRST_ROLES,
    WHOLE_SYSTEM,
    ApplicationCredential,
    Project,
    Role,
    RoleAssignment,
    Token,
    User,
    with_implied,
)
from suimon.store.columns import time_text
from suimon.store.tables import APPLICATION_CREDENTIALS, TOKENS
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
_CREDENTIALS_OF_USER: Final = delete(APPLICATION_CREDENTIALS).where(
    APPLICATION_CREDENTIALS.c.user_id == bindparam("user")
)
_CREDENTIALS_OF_PROJECT: Final = delete(APPLICATION_CREDENTIALS).where(
    APPLICATION_CREDENTIALS.c.project_id == bindparam("project")
)
_CREDENTIALS_OF_BOTH: Final = _CREDENTIALS_OF_USER.where(APPLICATION_CREDENTIALS.c.project_id == bindparam("project"))


class Session(msgspec.Struct, frozen=True):
    """A token with the things it names, as the token's body tells them."""

    token: Token
    user: User
    project: Project | None
    roles: tuple[Role, ...]
    credential: ApplicationCredential | None = None


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
    tx.insert_many([RoleAssignment(user_id=user.id, project_id=project.id, role_id=role.id) for role in roles])
    tx.insert(RoleAssignment(user_id=user.id, project_id=WHOLE_SYSTEM, role_id=roles[0].id))
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
        _require_mutable(before)
        _require_free_name(tx, after)
    tx.update(before, after)
    _revoke_after(tx, before, after)
    return after


def delete_named(tx: Tx, actor: Actor, kind: type[Named], thing_id: str) -> None:
    """Deletes it with its assignments and tokens. What a project owns in the network stays. Raises NotFound."""
    require_admin(actor, f"delete_{_WORDS[kind]}")
    thing: Project | User | Role = _found(tx, kind, thing_id)
    _require_mutable(thing)
    _revoke_after(tx, thing, None)
    _forget_credentials(tx, thing)
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
    """Gives a user a role in a project or in the whole system; again is no error. Raises NotFound."""
    require_admin(actor, "create_grant")
    if wanted.project_id != WHOLE_SYSTEM:
        _found(tx, Project, wanted.project_id)
    _found(tx, User, wanted.user_id)
    _found(tx, Role, wanted.role_id)
    if not _assigned(tx, wanted):
        tx.insert(wanted)
        _revoke(tx, _OF_BOTH, user=wanted.user_id, project=wanted.project_id)


def unassign_role(tx: Tx, actor: Actor, unwanted: RoleAssignment) -> None:
    """Takes it away, and ends the user's tokens and application credentials for the project. Raises NotFound when he
    has no such role there.
    """
    require_admin(actor, "revoke_grant")
    require_assigned(tx, actor, unwanted)
    tx.delete(unwanted)
    for statement in (_OF_BOTH, _CREDENTIALS_OF_BOTH):
        _revoke(tx, statement, user=unwanted.user_id, project=unwanted.project_id)


def require_assigned(tx: Tx, actor: Actor, asked: RoleAssignment) -> None:
    """Raises NotFound unless the user has the role in the project."""
    require_admin(actor, "check_grant")
    if not _assigned(tx, asked):
        raise NotFound(
            f"Could not find role assignment with role: {asked.role_id}, user or group: {asked.user_id}, "
            f"project, domain, or system: {asked.project_id}."
        )


def list_assignments(tx: Tx, actor: Actor, where: Values, *, effective: bool = False) -> list[RoleAssignment]:
    """Assignments with these values (`user_id`, `project_id`, `role_id`), with what they imply when `effective`. A user
    sees his own.
    """
    if where.get("user_id") != actor.user_id:
        require_admin(actor, "list_role_assignments")
    if not effective:
        return tx.select(RoleAssignment, where)
    found = tx.select(RoleAssignment, {key: value for key, value in where.items() if key != "role_id"})
    names = {role.id: role.name for role in tx.select(Role)}
    ids = {name: id_ for id_, name in names.items()}
    each = {
        (one.user_id, one.project_id, ids[name])
        for one in found
        for name in with_implied([names[one.role_id]])
        if name in ids
    }
    return [
        RoleAssignment(user_id=user, project_id=project, role_id=role)
        for user, project, role in sorted(each)
        if where.get("role_id", role) == role
    ]


def projects_of(tx: Tx, user_id: str) -> list[Project]:
    """The enabled projects in which a user has a role, by name."""
    ids = {assignment.project_id for assignment in tx.select(RoleAssignment, {"user_id": user_id})}
    return sorted(tx.select(Project, {"id": sorted(ids), "enabled": True}), key=lambda project: project.name)


# Tokens.


def user_named(tx: Tx, where: Values) -> User | None:
    """The enabled user with this `id` or `name`, for a password check; None is not told apart from a wrong password."""
    return next(iter(tx.select(User, {**where, "enabled": True}, limit=1)), None)


def issue_token(
    tx: Tx, user: User, scope: Values | None, blank: Token, credential: ApplicationCredential | None = None
) -> Session:
    """Completes and keeps a token for a user who has proved himself, and clears away what expired.

    `scope` is the `id` or `name` of a project, or the id `WHOLE_SYSTEM`; empty means his default project if he has a
    role there; None means unscoped. A `credential` brings its own, and leaves him with its roles. `blank` brings the
    token's hash and times. Raises Unauthorized when the user or the credential changed since, or has no role there.
    """
    if tx.get(User, user.id) != user or (credential and tx.get(ApplicationCredential, credential.id) != credential):
        raise Unauthorized(REFUSED)
    if credential:
        scope = {"id": credential.project_id}
    whole = scope == {"id": WHOLE_SYSTEM}
    project = None if whole else _scope_of(tx, user, scope)
    place = WHOLE_SYSTEM if whole else project.id if project else ""
    roles = _roles_of(tx, user, place) if place else ()
    if credential:
        roles = tuple(role for role in roles if role.id in credential.roles)
    if place and not roles:
        if scope:
            raise Unauthorized(REFUSED)
        project, place = None, ""
    names = tuple(role.name for role in roles)
    token = msgspec.structs.replace(
        blank, user_id=user.id, project_id=place, roles=names, credential_id=credential.id if credential else ""
    )
    tx.run(_EXPIRED, {"now": time_text(blank.issued_at)})
    tx.insert(token)
    return Session(token, user, project, roles, credential)


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
    credential = tx.get(ApplicationCredential, token.credential_id) if token.credential_id else None
    return Session(token, _found(tx, User, token.user_id), project, roles, credential)


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


def _roles_of(tx: Tx, user: User, place: str) -> tuple[Role, ...]:
    """What he is in a project, or in the whole system; with what that implies."""
    assigned = {one.role_id for one in tx.select(RoleAssignment, {"user_id": user.id, "project_id": place})}
    roles = tx.select(Role, order=("name",)) if assigned else []
    names = with_implied(role.name for role in roles if role.id in assigned)
    return tuple(role for role in roles if role.name in names)


def _found(tx: Tx, kind: type[Named], thing_id: str) -> Named:
    thing = tx.get(kind, thing_id)
    if thing is None:
        raise NotFound(f"Could not find {_WORDS[kind]}: {thing_id}.")
    return thing


def _require_free_name(tx: Tx, thing: Project | User | Role) -> None:
    if tx.select(type(thing), {"name": thing.name}, limit=1):
        word = _WORDS[type(thing)]
        raise Conflict(f"Conflict occurred attempting to store {word} - it has a name that is taken: {thing.name}.")


def _require_mutable(thing: Project | User | Role) -> None:
    """Raises Forbidden for the roles that rules ask for: without them nobody could mend anything."""
    if isinstance(thing, Role) and thing.name in FIRST_ROLES:
        raise Forbidden(f"The role {thing.name} is built in: it can be neither renamed nor deleted.")


def _forget_credentials(tx: Tx, gone: Project | User | Role) -> None:
    """The application credentials that go with what is deleted."""
    match gone:
        case User():
            _revoke(tx, _CREDENTIALS_OF_USER, user=gone.id)
        case Project():
            _revoke(tx, _CREDENTIALS_OF_PROJECT, project=gone.id)
        case Role():
            for assignment in tx.select(RoleAssignment, {"role_id": gone.id}):
                _revoke(tx, _CREDENTIALS_OF_BOTH, user=assignment.user_id, project=assignment.project_id)


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
