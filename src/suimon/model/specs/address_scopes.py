"""Address scopes in the API."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, integer_filter, standard

ADDRESS_SCOPE: Final = Spec(
    singular="address_scope",
    plural="address_scopes",
    path="address-scopes",
    type=things.AddressScope,
    attributes=(
        *(attribute for attribute in standard() if attribute.name in ("id", "name", "project_id")),
        Attribute(
            name="ip_version",
            field="ip_version",
            check=checks.one_of((4, 6), checks.integer),
            put=False,
            default=REQUIRED,
            filter=integer_filter,
        ),
        Attribute(name="shared", field="shared", check=checks.boolean, default=False, filter=None),
    ),
    special_filters=frozenset({"shared"}),
)
