"""Which QoS policy applies: a thing's own, or else its network's where Neutron lets it inherit that one.

Ports of the cloud itself (routers' legs, DHCP) have none but their own, and neither has a router's gateway.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import case, func
from sqlalchemy.sql.elements import ColumnElement

from suimon.store.tables import FLOATING_IPS, NETWORKS, PORTS

OF_PORT: Final[ColumnElement[Any]] = func.coalesce(
    PORTS.c.qos_policy_id, case((PORTS.c.infrastructure, None), else_=NETWORKS.c.qos_policy_id)
)
"""Of a port, joined with its network."""
OF_FLOATING_IP: Final[ColumnElement[Any]] = func.coalesce(FLOATING_IPS.c.qos_policy_id, NETWORKS.c.qos_policy_id)
"""Of a floating IP, joined with the external network that it is on."""
