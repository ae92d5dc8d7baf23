"""Acts on application credentials: with which programs log in for a user without his password.

Only the user himself makes one, with a token for the project that it is for, and with no role that the token hasn't. It
goes with the user, the project, or any role of his there; a change of his password doesn't touch it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete

from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Conflict, Forbidden, NotFound
from suimon.model.identity import ApplicationCredential, Role, Token, User, with_implied
from suimon.resources.identity import new_id, require_admin
from suimon.store.tables import TOKENS
from suimon.store.tx import Tx

_TOKENS_OF: Final = delete(TOKENS).where(TOKENS.c.credential_id == bindparam("credential"))


def create_application_credential(
    tx: Tx, actor: Actor, token: Token, wanted: Mapping[str, Any]
) -> ApplicationCredential:
    """`wanted` has the struct's fields but `id` and `project_id`; `roles` are mappings with `id` or `name`: none means
    all of the token's. `token` is the caller's own. Raises BadRequest, Conflict, Forbidden.
    """
    if wanted["user_id"] != token.user_id:
        raise Forbidden("Only a user himself can make an application credential.")
    _require_unrestricted(tx, token)
    if token.project_id != actor.project_id or not actor.project_id:
        raise BadRequest("An application credential is for a project: the token has to be scoped to it.")
    expires_at: datetime | None = wanted["expires_at"]
    if expires_at is not None and expires_at <= tx.now:
        raise BadRequest("Invalid application credential: it expires in the past.")
    if tx.select(ApplicationCredential, {"user_id": token.user_id, "name": wanted["name"]}, limit=1):
        raise Conflict(
            f"Conflict occurred attempting to store application_credential - Duplicate entry: {wanted['name']}."
        )
    roles = _roles(tx, token, wanted["roles"])
    made = ApplicationCredential(**{**wanted, "roles": roles}, id=new_id(), project_id=token.project_id)
    tx.insert(made)
    return made


def list_application_credentials(
    tx: Tx, actor: Actor, user_id: str, name: str | None
) -> list[tuple[ApplicationCredential, list[Role]]]:
    """A user's, by name, each with its roles. Raises Forbidden for another user's unless an admin asks."""
    require_user(actor, user_id, "list_application_credentials")
    where = {"user_id": user_id} if name is None else {"user_id": user_id, "name": name}
    return with_roles(tx, tx.select(ApplicationCredential, where, order=("name",)))


def find_application_credential(tx: Tx, actor: Actor, user_id: str, id_: str) -> ApplicationCredential:
    """Raises Forbidden as above, NotFound."""
    require_user(actor, user_id, "get_application_credential")
    found = tx.get(ApplicationCredential, id_)
    if found is None or found.user_id != user_id:
        raise NotFound(f"Could not find Application Credential: {id_}.")
    return found


def delete_application_credential(tx: Tx, actor: Actor, token: Token, user_id: str, id_: str) -> None:
    """Ends its tokens too. Raises Forbidden, NotFound."""
    found = find_application_credential(tx, actor, user_id, id_)
    _require_unrestricted(tx, token)
    tx.run(_TOKENS_OF, {"credential": id_})
    tx.delete(found)


def credential_for_login(
    tx: Tx, where: Mapping[str, str], user: Mapping[str, str] | None
) -> tuple[ApplicationCredential, User] | None:
    """The credential with this `id`, or with this `name` of this user (`id` or `name`), and its enabled user; None is
    not told apart from a wrong secret. Whether it expired is in `expires_at`.
    """
    if user is not None:
        owner = next(iter(tx.select(User, {**user, "enabled": True}, limit=1)), None)
        found = tx.select(ApplicationCredential, {**where, "user_id": owner.id}, limit=1) if owner else []
    else:
        found = tx.select(ApplicationCredential, where, limit=1)
        owner = next(iter(tx.select(User, {"id": found[0].user_id, "enabled": True}, limit=1)), None) if found else None
    return (found[0], owner) if found and owner else None


def with_roles(tx: Tx, credentials: Sequence[ApplicationCredential]) -> list[tuple[ApplicationCredential, list[Role]]]:
    """Each with its roles, as far as there still are such."""
    ids = {id_ for credential in credentials for id_ in credential.roles}
    roles = {role.id: role for role in tx.select(Role, {"id": sorted(ids)})} if ids else {}
    return [(one, [roles[id_] for id_ in one.roles if id_ in roles]) for one in credentials]


def require_user(actor: Actor, user_id: str, act: str) -> None:
    """Raises Forbidden unless it is about the actor himself or an admin asks."""
    if user_id != actor.user_id:
        require_admin(actor, act)


def _require_unrestricted(tx: Tx, token: Token) -> None:
    """A program with a credential that leaked can't make itself another. Raises Forbidden in Keystone's words."""
    credential = tx.get(ApplicationCredential, token.credential_id) if token.credential_id else None
    if token.credential_id and not (credential and credential.unrestricted):
        raise Forbidden(
            "Could not perform this with the method 'application_credential': the credential is not unrestricted."
        )


def _roles(tx: Tx, token: Token, wanted: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The ids of what is wanted, with what it implies. Raises BadRequest for a role that the token hasn't."""
    mine = tx.select(Role, {"name": token.roles}, order=("name",))
    asked = [role for role in mine if _named(role, wanted)]
    if not all(any(_named(role, [one]) for role in asked) for one in wanted):
        raise BadRequest("Invalid application credential: it can't have a role that its user doesn't have there.")
    names = with_implied(role.name for role in asked) if wanted else set(token.roles)
    return tuple(role.id for role in mine if role.name in names)


def _named(role: Role, wanted: Sequence[Mapping[str, str]]) -> bool:
    return any(one.get("id", role.id) == role.id and one.get("name", role.name) == role.name and one for one in wanted)
