"""Errors on the wire: the caller's errors that only HTTP knows, and the one place that turns an error into a body.

Two dialects. Neutron: `{"NeutronError": {"type", "message", "detail"}}`. Keystone, which the operations API speaks too:
`{"error": {"code", "title", "message"}}`; a missing or bad token is told in that form everywhere, as Keystone's
middleware does in front of Neutron.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from suimon.model.errors import CallerError, Unauthorized

UNCOMPLIABLE: Final = (
    "The server could not comply with the request since it is either malformed or otherwise incorrect."
)
MISSING: Final = "The resource could not be found."

ErrorBody = dict[str, dict[str, object]]
Dialect = Callable[[CallerError], ErrorBody]


class MethodNotAllowed(CallerError):
    """The path exists, the verb does not."""

    status = 405
    default_kind = "HTTPMethodNotAllowed"


class NotAcceptable(CallerError):
    """The client takes no JSON, and there is nothing else."""

    status = 406
    default_kind = "HTTPNotAcceptable"


class TooSlow(CallerError):
    """The body did not arrive in time."""

    status = 408
    default_kind = "HTTPRequestTimeout"


class TooLarge(CallerError):
    """The body is over the limit."""

    status = 413
    default_kind = "HTTPRequestEntityTooLarge"


class UnsupportedMediaType(CallerError):
    """The body is packed."""

    status = 415
    default_kind = "HTTPUnsupportedMediaType"


class NotImplementedHere(CallerError):
    """A call that the API has and this cloud doesn't."""

    status = 501
    default_kind = "HTTPNotImplemented"


class ServerFault(CallerError):
    """Ours, not the caller's: the body says nothing but that; the log has the rest under the request id."""

    status = 500
    default_kind = "HTTPInternalServerError"


def network_error(error: CallerError) -> ErrorBody:
    """As Neutron says it."""
    if isinstance(error, Unauthorized):
        return identity_error(error)
    return {"NeutronError": {"type": error.kind, "message": error.message, "detail": ""}}


def identity_error(error: CallerError) -> ErrorBody:
    """As Keystone says it."""
    title = HTTPStatus(error.status).phrase
    return {"error": {"code": error.status, "message": error.message, "title": title}}
