"""Who acts: the user behind a request, or the system itself."""

from typing import Final

import msgspec

READERS: Final = frozenset({"reader", "member", "manager", "admin"})
"""Who has one of these roles in a project sees what is in it."""
_NO_PROJECT: Final = "!"


class Actor(msgspec.Struct, frozen=True):
    """The caller of an act, as the token says. `request_id` follows the act into the change log.

    `service_roles` are those of the service that passes a user's request on (`X-Service-Token`), none otherwise.
    """

    user_id: str
    project_id: str
    roles: frozenset[str]
    request_id: str = ""
    service_roles: frozenset[str] = frozenset()

    @property
    def admin(self) -> bool:
        return "admin" in self.roles

    @property
    def viewer(self) -> str:
        """The project whose things the actor sees: none for one who isn't even a reader there."""
        return self.project_id if self.roles & READERS else _NO_PROJECT


SYSTEM = Actor("suimon", "", frozenset({"admin"}))
"""What Suimon does by itself: making default groups, router ports."""
