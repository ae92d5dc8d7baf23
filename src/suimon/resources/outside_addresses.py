"""Addresses that were restricted as somebody's outside, and that the cloud now gives to a port or a floating IP.

What was blocked is gone from there, and whoever has the address now did nothing: the restriction is released, and an
alarm says so. Only addresses that operators hand out count (`restrictions.is_handed_out`): a tenant numbers his own
networks as he likes, and would lift what protects all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import bindparam, select

from suimon.model.actor import SYSTEM
from suimon.model.incidents import OUTSIDE_BECAME_OURS, runbook
from suimon.model.things import Network, Subnet
from suimon.resources import restrictions
from suimon.resources.alarms import tell_alarm
from suimon.resources.incidents import Line
from suimon.store.tables import RESTRICTIONS
from suimon.store.tx import Tx

_RESTRICTED: Final = select(RESTRICTIONS.c.id, RESTRICTIONS.c.target).where(
    RESTRICTIONS.c.target.in_(bindparam("targets", expanding=True)),
    RESTRICTIONS.c.target_kind == "outside_address",
    RESTRICTIONS.c.state == "active",
)


def release_given(tx: Tx, held: Sequence[tuple[Subnet, str, str]]) -> None:
    """`held` are (subnet, address, port id) that are new. Asks nothing of networks that can only be a tenant's own."""
    given = {ip: (subnet, port_id) for subnet, ip, port_id in held if _may_be_handed_out(tx, subnet)}
    if given:
        _release(tx, given)


def _release(tx: Tx, given: Mapping[str, tuple[Subnet, str]]) -> None:
    for id_, address in tx.rows(_RESTRICTED, {"targets": list(given)}):
        subnet, port_id = given[str(address)]
        if not restrictions.is_handed_out(tx, subnet):
            continue
        words = f"{address} is no address outside any more: port {port_id} has it"
        restrictions.release(tx, SYSTEM, str(id_), words)
        told = {"runbook": runbook(OUTSIDE_BECAME_OURS), "restriction_id": id_, "port_id": port_id}
        tell_alarm(tx, SYSTEM, f"outside/{id_}", ("address", str(address)), Line("alarm", words, told))


def _may_be_handed_out(tx: Tx, subnet: Subnet) -> bool:
    network = _network(tx, subnet)
    return network.external or network.physnet is not None or subnet.subnetpool_id is not None


def _network(tx: Tx, subnet: Subnet) -> Network:
    network = tx.get(Network, subnet.network_id)
    assert network is not None
    return network
