"""What collectors of flow records and controllers say to each other, as JSON over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MOST_ROWS = 10_000
MOST_WINDOWS = 300
MOST_TALK = 20_000
SHARED = "all"
"""The name of what a collector's detectors share, where it says how often they failed."""
EPHEMERAL = 32_768
"""The first of the ports that clients choose by themselves (ip_local_port_range of Linux; RFC 6335 has 49,152)."""


class CollectorJoin(msgspec.Struct, frozen=True):
    """POST /hosts/v1/collectors: `token` is good for this name, once. `url` is where it answers who shows `key`."""

    token: str
    name: str
    url: str
    key: str


class CollectorJoined(msgspec.Struct, frozen=True):
    """Its own credential, sent afterwards as `Authorization: Bearer …`."""

    name: str
    credential: str


class MappedPort(msgspec.Struct, frozen=True):
    """A port that is bound to a host. `exporter` is the address by which the host exports, `ifindex` its interface
    there (0: not told); `addresses` are those of the port and the floating IPs that lead to it.
    """

    id: str
    project_id: str
    network_id: str
    host: str
    exporter: str
    ifindex: int
    mac: str
    addresses: tuple[str, ...]


class FailedDetector(msgspec.Struct, frozen=True):
    """How often it has thrown since the collector began, and what it threw last."""

    name: Annotated[str, Meta(max_length=128)]
    times: int
    reason: Annotated[str, Meta(max_length=500)]


class MapRequest(msgspec.Struct, frozen=True):
    """POST /hosts/v1/ports: what changed after this position; answered when something did, or after a while.

    An empty `store` asks for all there is. `failed` are the collector's detectors that threw lately.
    """

    store: str = ""
    epoch: int = 0
    revision: int = 0
    failed: Annotated[tuple[FailedDetector, ...], Meta(max_length=64)] = ()


class MapAnswer(msgspec.Struct, frozen=True):
    """`whole`: these are all ports. Else `ports` are new or changed, and `gone` are ids of those that are no more."""

    store: str
    epoch: int
    revision: int
    whole: bool
    ports: tuple[MappedPort, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def position(self) -> MapRequest:
        return MapRequest(self.store, self.epoch, self.revision)


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /flows/v1/ask, to a collector. `project_id` is whose records alone are told of; empty: all. With `by`, the
    largest sums by that, else records, the newest first.
    """

    filter: Annotated[str, Meta(max_length=2000)] = ""
    by: Annotated[str, Meta(max_length=50)] = ""
    order: Literal["bytes", "packets", "records"] = "bytes"
    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 100
    project_id: str = ""


class Sums(msgspec.Struct, frozen=True):
    """Of all records that match: `bytes` and `packets` times the sampling. `sampled` records stand for others besides,
    `unscaled` ones came without a word of how many.
    """

    records: int = 0
    packets: int = 0
    bytes: int = 0
    sampled: int = 0
    unscaled: int = 0


class Answer(msgspec.Struct, frozen=True):
    """`rows` are of the question's limit at most; `total` is of all."""

    rows: list[dict[str, Any]]
    total: Sums


class TalkAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /flows/v1/talk: who talked in windows of `window_s`, the first from `since_s` on; by when records end.

    `most` is of the services of one window, and of its peers. `project_id` is whose ports alone; empty: all.
    """

    since_s: Annotated[int, Meta(ge=0, le=1 << 40)]
    windows: Annotated[int, Meta(ge=1, le=MOST_WINDOWS)] = 1
    window_s: Annotated[int, Meta(ge=1, le=86_400)] = 300
    most: Annotated[int, Meta(ge=1, le=MOST_TALK)] = MOST_TALK
    project_id: str = ""

    @property
    def until_s(self) -> int:
        return self.since_s + self.windows * self.window_s


class Service(msgspec.Struct, frozen=True, array_like=True):
    """What a port sent ("out") or got ("in"), by protocol and destination port, which is None for ICMP and the like and
    where it is one that clients choose (`EPHEMERAL`); with how many `peers`. `packets` and `bytes` times the sampling.
    """

    port_id: str
    project_id: str
    direction: str
    protocol: str
    destination_port: int | None
    peers: int
    records: int
    packets: int
    bytes: int


class Peer(msgspec.Struct, frozen=True, array_like=True):
    """One of the largest peers of a `Service`. `answered`: there was something the other way between the two."""

    port_id: str
    project_id: str
    direction: str
    protocol: str
    destination_port: int | None
    address: str
    answered: bool
    records: int
    packets: int
    bytes: int


class Window(msgspec.Struct, frozen=True):
    """Up to `until_s`. `left_out` services were more than are told."""

    until_s: int
    services: tuple[Service, ...] = ()
    peers: tuple[Peer, ...] = ()
    left_out: int = 0


class Talk(msgspec.Struct, frozen=True):
    """All windows that were asked for, in order. `kept_since_s`: since when records are kept; None: there are none."""

    windows: tuple[Window, ...]
    kept_since_s: int | None = None
