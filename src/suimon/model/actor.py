"""Who acts: the user behind a request, or the system itself."""

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """The caller of an act, as the token says. `request_id` follows the act into the change log."""

    user_id: str
    project_id: str
    roles: frozenset[str]
    request_id: str = ""

    @property
    def admin(self) -> bool:
        return "admin" in self.roles


SYSTEM = Actor("suimon", "", frozenset({"admin"}))
"""What Suimon does by itself: making default groups, router ports."""
