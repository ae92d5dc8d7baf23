"""The caller's errors, and the HTTP status and Neutron type that each goes out with.

    CallerError
    ├── BadRequest 400     ├── Unauthorized 401    ├── Forbidden 403
    ├── NotFound 404       ├── Conflict 409        ├── PreconditionFailed 412
    ├── TooManyRequests 429    ├── Unsupported 501    └── Unavailable 503

Acts and checks raise them; `api` turns them into a body in one place. `kind` is the `type` of Neutron's error body,
which clients match on; the message says what was wrong with which thing, for people.
"""


class CallerError(Exception):
    """Something the caller can mend. `kind` defaults to what Neutron uses for the status."""

    status = 400
    default_kind = "HTTPBadRequest"

    def __init__(self, message: str, kind: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind or self.default_kind


class BadRequest(CallerError):
    """The request is malformed or says something impossible."""


class Unauthorized(CallerError):
    """No valid token."""

    status = 401
    default_kind = "Unauthorized"


class Forbidden(CallerError):
    """The caller can see the thing but may not do this."""

    status = 403
    default_kind = "PolicyNotAuthorized"


class NotFound(CallerError):
    """There is no such thing, or the caller may not know that there is."""

    status = 404
    default_kind = "HTTPNotFound"


class Conflict(CallerError):
    """The state of the world forbids it: in use, taken, exhausted."""

    status = 409
    default_kind = "HTTPConflict"


class PreconditionFailed(CallerError):
    """If-Match named another revision."""

    status = 412
    default_kind = "RevisionNumberConstraintFailed"


class TooManyRequests(CallerError):
    """Too many attempts in too short a time."""

    status = 429
    default_kind = "TooManyRequests"


class Unsupported(CallerError):
    """It could be meant, but isn't done."""

    status = 501
    default_kind = "HTTPNotImplemented"


class Unavailable(CallerError):
    """Not now: the store is locked or a part is away. Trying again may help."""

    status = 503
    default_kind = "ServiceUnavailable"
