"""Address groups in the API."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import Attribute, Spec, standard
from suimon.model.checks import Unfit

MAX_ADDRESSES: Final = 1000


@checks.takes(checks.listed({"type": "string", "format": "cidr"}))
def addresses(value: object) -> object:
    """A list of prefixes, each with its length, as a tuple of them without host bits and repetition; null is none."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Unfit(f"'{value}' is not a list")
    if len(value) > MAX_ADDRESSES:
        raise Unfit(f"{MAX_ADDRESSES} addresses at most can be given at once")
    for item in value:
        if isinstance(item, str) and "/" not in item:
            raise Unfit(
                f"'{item}' isn't a recognized IP subnet cidr, '{item}/{128 if ':' in item else 32}' is recommended"
            )
    found = [str(checks.parse_cidr(item)) for item in value]
    if repeated := sorted({item for item in value if value.count(item) > 1}):
        raise Unfit(f"Duplicate items in the list: '{', '.join(repeated)}'")
    return tuple(dict.fromkeys(found))


ADDRESS_GROUP: Final = Spec(
    singular="address_group",
    plural="address_groups",
    path="address-groups",
    type=things.AddressGroup,
    attributes=(
        *standard(),
        Attribute(name="addresses", field="addresses", check=addresses, put=False, default=(), show=list, filter=None),
    ),
)
