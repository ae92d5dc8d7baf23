"""What a collector of flow records is told of the cloud's ports, to say whose a record is."""

from __future__ import annotations

import msgspec


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


class MapRequest(msgspec.Struct, frozen=True):
    """POST /hosts/v1/ports: what changed after this position; answered when something did, or after a while.

    An empty `store` asks for all there is.
    """

    store: str = ""
    epoch: int = 0
    revision: int = 0


class MapAnswer(msgspec.Struct, frozen=True):
    """`whole`: these are all ports. Else `ports` are new or changed, and `gone` are ids of those that are no more."""

    store: str
    epoch: int
    revision: int
    whole: bool
    ports: tuple[MappedPort, ...] = ()
    gone: tuple[str, ...] = ()
