"""Nova's servers and what they run on as tables of facts, with Congress's columns; all projects' (Compute API 2.26)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from suimon.api.nova.client import Nova, NovaError
from suimon.enforcement.gathering import Batch
from suimon.model.fact_tables import Reading, Row, Unread
from suimon.policy.facts import NOVA, OUTSIDE

_MOST_PAGES: Final = 1000
_PAGE: Final = 500
_WAIT_FACTOR: Final = 3
"""A reading may be missed, or take long, before its tables are stale."""


class ServersConfig(msgspec.Struct, frozen=True):
    """How often Nova is asked while a clause names its tables."""

    every_s: float = 60.0


class _Server(msgspec.Struct):
    """What is taken of a server; whatever else Nova says is its own."""

    id: str
    name: str | None = None
    host_id: str | None = msgspec.field(default=None, name="hostId")
    status: str | None = None
    tenant_id: str | None = None
    user_id: str | None = None
    image: object = None
    flavor: object = None
    zone: str | None = msgspec.field(default=None, name="OS-EXT-AZ:availability_zone")
    host_name: str | None = msgspec.field(default=None, name="OS-EXT-SRV-ATTR:hypervisor_hostname")
    created: str | None = None
    addresses: dict[str, list[dict[str, object]]] = {}
    tags: list[str] = []


class _Listing(NamedTuple):
    """A collection of Nova's: its path, its name in the answer, and what rows one thing gives, by table."""

    path: str
    name: str
    rows: Callable[[Any], Mapping[str, Sequence[Row]]]
    paged: bool = False


class Servers:
    """A `gathering.Source`. What Nova lists together is kept together, or not at all."""

    named = tuple(f"{NOVA}:{table}" for table in OUTSIDE[NOVA])

    def __init__(self, config: ServersConfig, nova: Nova) -> None:
        self._config = config
        self._nova = nova

    async def read(self) -> Sequence[Batch]:
        """Each listing whole, page by page."""
        async with self._nova:
            return [await self._batch(listing) for listing in _LISTINGS]

    def pause_s(self) -> float:
        return self._config.every_s

    async def _batch(self, listing: _Listing) -> Batch:
        tables: dict[str, list[Row]] = {table: [] for table in _TABLES_OF[listing.name]}
        try:
            for thing in await self._things(listing):
                for table, rows in listing.rows(thing).items():
                    tables[table] += rows
        except (NovaError, msgspec.ValidationError) as error:
            return [Unread(source=NOVA, name=table, problem=f"{listing.path}: {error}") for table in tables]
        age_s = round(self._config.every_s * _WAIT_FACTOR)
        return [
            Reading(source=NOVA, name=table, columns=OUTSIDE[NOVA][table], rows=rows, max_age_s=age_s)
            for table, rows in tables.items()
        ]

    async def _things(self, listing: _Listing) -> list[dict[str, object]]:
        """All of them. Raises NovaError, ValidationError."""
        found: list[dict[str, object]] = []
        marker = ""
        for _ in range(_MOST_PAGES):
            more = f"{'&' if '?' in listing.path else '?'}limit={_PAGE}{marker}" if listing.paged else ""
            body = await self._nova.get(listing.path + more)
            page = msgspec.convert(body.get(listing.name), list[dict[str, object]])
            found += page
            if not page or not listing.paged or not body.get(f"{listing.name}_links"):
                return found
            marker = f"&marker={msgspec.convert(page[-1].get('id'), str)}"
        raise NovaError(f"more than {_MOST_PAGES} pages")


def _server(thing: Mapping[str, object]) -> Mapping[str, Sequence[Row]]:
    one = msgspec.convert(thing, _Server)
    row = (
        one.id, one.name, one.host_id, one.status, one.tenant_id, one.user_id, _id(one.image), _id(one.flavor),
        one.zone, one.host_name, one.created,
    )  # fmt: skip
    columns = ("addr", "version", "OS-EXT-IPS-MAC:mac_addr", "OS-EXT-IPS:type")
    addresses = [
        (one.id, network, *_taken(address, columns)) for network, held in one.addresses.items() for address in held
    ]
    return {"servers": [row], "servers.addresses": addresses, "tags": [(one.id, tag) for tag in one.tags]}


def _plain(table: str, fields: str) -> Callable[[Mapping[str, object]], Mapping[str, Sequence[Row]]]:
    names = tuple(fields.split())
    return lambda thing: {table: [_taken(thing, names)]}


def _zone(thing: Mapping[str, object]) -> Mapping[str, Sequence[Row]]:
    state = thing.get("zoneState")
    available = state.get("available") if isinstance(state, dict) else None
    word = None if available is None else "available" if available else "unavailable"
    return {"availability_zones": [(*_taken(thing, ("zoneName",)), word)]}


def _taken(thing: Mapping[str, object], names: Iterable[str]) -> Row:
    """Values as a row has them; what is none is null."""
    values = (thing.get(name) for name in names)
    return tuple(value if isinstance(value, str | int | float) else None for value in values)


def _id(what: object) -> str | None:
    """A server that boots from a volume has "" for its image."""
    found = what.get("id") if isinstance(what, dict) else None
    return found if isinstance(found, str) else None


_LISTINGS: Final = (
    _Listing("servers/detail?all_tenants=1", "servers", _server, paged=True),
    _Listing(
        "flavors/detail?is_public=None",
        "flavors",
        _plain("flavors", "id name vcpus ram disk OS-FLV-EXT-DATA:ephemeral rxtx_factor"),
        paged=True,
    ),
    _Listing("os-hypervisors", "hypervisors", _plain("hypervisors", "hypervisor_hostname id state status")),
    _Listing(
        "os-services", "services", _plain("services", "id binary host zone status state updated_at disabled_reason")
    ),
    _Listing("os-availability-zone", "availabilityZoneInfo", _zone),
)
_TABLES_OF: Final = {
    "servers": ("servers", "servers.addresses", "tags"),
    "flavors": ("flavors",),
    "hypervisors": ("hypervisors",),
    "services": ("services",),
    "availabilityZoneInfo": ("availability_zones",),
}
