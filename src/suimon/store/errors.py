"""What can go wrong with the store itself."""

from suimon.model.errors import Conflict


class StoreError(Exception):
    """The store can't be opened. The message is one sentence for the operator that says what to do."""


class Again(Exception):
    """The act was undone and may well succeed if it starts over, which the store sees to."""


class Stale(Again):
    """Another writer changed a row between our reading and our writing it."""


class Lost(Again):
    """The connection to the database broke before anything was committed."""


class Taken(Conflict):
    """A constraint of the database refused a row: somebody else was first, or something still refers to it.

    `what` names the constraint or its columns (`ports.network_id, ports.mac_address`; `uq_networks_vni`). After it a
    transaction can only end: an act turns it into another error, and does no further statement.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"Another request was faster, or the object is in use ({what}).")
        self.what = what
