"""MAC addresses of ports: no two on one network are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, select

from suimon.model.errors import Conflict
from suimon.model.things import Host, Port
from suimon.resources.ids import new_mac
from suimon.resources.port_details import vif
from suimon.store.tables import PORTS as TABLE
from suimon.store.tx import Tx

_TAKEN_MACS: Final = select(TABLE.c.mac_address).where(
    TABLE.c.network_id.in_(bindparam("networks", expanding=True)),
    TABLE.c.mac_address.in_(bindparam("macs", expanding=True)),
)
_MAC_ROUNDS: Final = 20


def require_macs_free(tx: Tx, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Given ones. Raises Conflict when somebody on the network has one, or two of the request want the same."""
    given = [(one["network_id"], one["mac_address"]) for one in wanted if "mac_address" in one]
    if not given:
        return
    networks, macs = zip(*given, strict=True)
    taken = {
        (p.network_id, p.mac_address) for p in tx.select(Port, {"network_id": set(networks), "mac_address": set(macs)})
    }
    for network_and_mac in given:
        if network_and_mac in taken:
            raise _mac_in_use(*network_and_mac)
        taken.add(network_and_mac)


def with_macs(tx: Tx, wanted: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each with a MAC. A random one seldom meets another; of thousands some always do, so those are looked up.

    Raises Conflict when there is hardly one left.
    """
    networks = {one["network_id"] for one in wanted}
    given = {one["mac_address"] for one in wanted if "mac_address" in one}
    open_ = [n for n, one in enumerate(wanted) if "mac_address" not in one]
    chosen: list[str] = []
    for _ in range(_MAC_ROUNDS):
        missing = len(open_) - len(chosen)
        if not missing:
            break
        fresh = {new_mac(tx.settings.mac_prefix) for _ in range(2 * missing)} - given - set(chosen)
        taken = {mac for (mac,) in tx.rows(_TAKEN_MACS, {"networks": list(networks), "macs": list(fresh)})}
        chosen += list(fresh - taken)[:missing]
    if len(chosen) < len(open_):
        raise Conflict(f"Unable to generate unique mac on network {min(networks)}.", "MacAddressGenerationFailure")
    macs = dict(zip(open_, chosen, strict=True))
    return [{**one, "mac_address": macs[n]} if n in macs else one for n, one in enumerate(wanted)]


def require_new_mac(tx: Tx, port: Port, mac: str) -> None:
    """Another MAC for a port that isn't plugged yet. Raises Conflict."""
    host = tx.get(Host, port.binding_host) if port.binding_host else None
    vif_type = vif(port.binding_host, port.binding_vnic_type, known=host is not None)["vif_type"]
    if vif_type not in ("unbound", "binding_failed"):
        raise Conflict(
            f"Unable to complete operation on port {port.id}, port is already bound, port type: {vif_type}, old_mac "
            f"{port.mac_address}, new_mac {mac}.",
            "PortBound",
        )
    if tx.select(Port, {"network_id": port.network_id, "mac_address": mac}, limit=1):
        raise _mac_in_use(port.network_id, mac)


def _mac_in_use(network_id: str, mac: str) -> Conflict:
    return Conflict(
        f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.", "MacAddressInUse"
    )
