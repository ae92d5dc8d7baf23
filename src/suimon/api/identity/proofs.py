"""The body of a login: who one claims to be, how one proves it, and what the token shall be for."""

import msgspec

from suimon.api.identity.shapes import Domain, Identifier, Name, Password
from suimon.model.errors import BadRequest, Unauthorized
from suimon.model.identity import WHOLE_SYSTEM
from suimon.resources.identity import REFUSED


class Claimed(msgspec.Struct):
    """A user by id, or by name in a domain."""

    id: Identifier | None = None
    name: Name | None = None
    domain: Domain = msgspec.field(default_factory=Domain)

    @property
    def where(self) -> dict[str, str] | None:
        """What to look for; None when there can't be such a user."""
        if self.id:
            return {"id": self.id}
        return {"name": self.name} if self.name and self.domain.exists else None


class UserProof(Claimed, kw_only=True):
    """Who logs in with a password."""

    password: Password


class PasswordProof(msgspec.Struct):
    user: UserProof


class TokenProof(msgspec.Struct):
    id: str


class CredentialProof(msgspec.Struct):
    """An application credential by id, or by its name and its user."""

    secret: Password
    id: Identifier | None = None
    name: Name | None = None
    user: Claimed | None = None


class Proof(msgspec.Struct):
    methods: list[str]
    password: PasswordProof | None = None
    token: TokenProof | None = None
    application_credential: CredentialProof | None = None


class ProjectScope(msgspec.Struct):
    id: Identifier | None = None
    name: Name | None = None
    domain: Domain = msgspec.field(default_factory=Domain)


class SystemScope(msgspec.Struct):
    all: bool = False


class Scope(msgspec.Struct):
    """A project or the whole system: nobody has a role in the domain here."""

    project: ProjectScope | None = None
    system: SystemScope | None = None


class Login(msgspec.Struct):
    identity: Proof
    scope: Scope | str | None = None


def scope_wanted(scope: Scope | str | None) -> dict[str, str] | None:
    """As `identity.issue_token` takes it. Raises BadRequest for no form at all, Unauthorized for other scopes."""
    match scope:
        case None:
            return {}
        case "unscoped":
            return None
        case Scope(project=ProjectScope(id=str(project_id))) if project_id != WHOLE_SYSTEM:
            return {"id": project_id}
        case Scope(project=ProjectScope(name=str(name), domain=domain)):
            if not domain.exists:
                raise Unauthorized(REFUSED)
            return {"name": name}
        case Scope(project=None, system=SystemScope(all=True)):
            return {"id": WHOLE_SYSTEM}
        case Scope(project=None) | Scope(project=ProjectScope(id=str())):
            raise Unauthorized(REFUSED)
    raise BadRequest("Invalid input for scope: a project has an id, or a name and a domain.")
