"""Read-only views of the tables for people, with names that say what is in them: docs/guide/database.md.

They are made anew after every migration, so that they follow the tables, and show no secret.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, inspect

_PREFIX: Final = "v_"
_WORDS: Final = {
    "sqlite": {
        "join": "group_concat",
        "fixed_ips": "json_each(ports.fixed_ips) AS held",
    },
    "postgresql": {
        "join": "string_agg",
        "fixed_ips": "json_array_elements(ports.fixed_ips::json) AS held(value)",
    },
}
"""By database: how texts are joined, and the rows of a port's addresses."""
_ADDRESSES: Final = "(SELECT {join}(held.value ->> 'ip', ', ') FROM {fixed_ips})"
_GROUPS: Final = """
    (SELECT {join}(security_groups.name, ', ') FROM port_security_groups
     JOIN security_groups ON security_groups.id = port_security_groups.group_id
     WHERE port_security_groups.port_id = ports.id)"""

VIEWS: Final = {
    "v_networks": """
        SELECT networks.name AS network, projects.name AS project, networks.network_type AS kind,
            networks.segment, networks.physnet AS physical_network, networks.mtu, networks.external,
            (SELECT {join}(subnets.cidr, ', ') FROM subnets WHERE subnets.network_id = networks.id) AS subnets,
            (SELECT count(*) FROM ports WHERE ports.network_id = networks.id) AS ports,
            networks.created_at, networks.updated_at, networks.id, networks.project_id
        FROM networks LEFT JOIN projects ON projects.id = networks.project_id""",
    "v_ports": """
        SELECT ports.name AS port, projects.name AS project, networks.name AS network, ports.mac_address,
            {addresses} AS addresses, {groups} AS security_groups, ports.binding_host AS host, ports.status,
            ports.status_reason, ports.device_owner, ports.device_id, ports.created_at, ports.updated_at,
            ports.id, ports.network_id, ports.project_id
        FROM ports JOIN networks ON networks.id = ports.network_id
        LEFT JOIN projects ON projects.id = ports.project_id""",
    "v_addresses": """
        SELECT held.value ->> 'ip' AS address, subnets.cidr AS subnet, networks.name AS network,
            ports.name AS port, projects.name AS project, ports.mac_address, ports.binding_host AS host,
            ports.device_owner, ports.device_id, ports.id AS port_id, subnets.id AS subnet_id
        FROM ports JOIN networks ON networks.id = ports.network_id
        LEFT JOIN projects ON projects.id = ports.project_id
        CROSS JOIN {fixed_ips}
        JOIN subnets ON subnets.id = held.value ->> 'subnet_id'""",
    "v_floating_ips": """
        SELECT floating_ips.floating_ip_address AS address, projects.name AS project,
            floating_ips.fixed_ip_address AS leads_to, ports.name AS port, ports.binding_host AS host,
            routers.name AS router, networks.name AS network, floating_ips.status,
            floating_ips.id, floating_ips.port_id, floating_ips.router_id
        FROM floating_ips JOIN networks ON networks.id = floating_ips.floating_network_id
        LEFT JOIN ports ON ports.id = floating_ips.port_id
        LEFT JOIN routers ON routers.id = floating_ips.router_id
        LEFT JOIN projects ON projects.id = floating_ips.project_id""",
    "v_routers": """
        SELECT routers.name AS router, projects.name AS project, gateways.name AS gateway_network,
            (SELECT {join}(networks.name, ', ') FROM ports JOIN networks ON networks.id = ports.network_id
             WHERE ports.device_id = routers.id AND ports.device_owner LIKE 'network:%interface%') AS networks,
            routers.created_at, routers.id, routers.project_id
        FROM routers LEFT JOIN networks AS gateways ON gateways.id = routers.gateway_network_id
        LEFT JOIN projects ON projects.id = routers.project_id""",
    "v_security_group_rules": """
        SELECT security_groups.name AS security_group, projects.name AS project, rules.direction, rules.ethertype,
            rules.protocol, rules.port_range_min AS first_port, rules.port_range_max AS last_port,
            rules.remote_ip_prefix AS remote_addresses, remotes.name AS remote_group,
            (SELECT count(*) FROM port_security_groups WHERE group_id = security_groups.id) AS ports_in_group,
            rules.id, security_groups.id AS security_group_id
        FROM security_group_rules AS rules JOIN security_groups ON security_groups.id = rules.security_group_id
        LEFT JOIN security_groups AS remotes ON remotes.id = rules.remote_group_id
        LEFT JOIN projects ON projects.id = security_groups.project_id""",
    "v_hosts": """
        SELECT hosts.name AS host, hosts.tunnel_ip, hosts.physnets AS physical_networks, hosts.joined_at,
            count(ports.id) AS ports, count(CASE WHEN ports.status = 'ACTIVE' THEN 1 END) AS active_ports
        FROM hosts LEFT JOIN ports ON ports.binding_host = hosts.name
        GROUP BY hosts.name, hosts.tunnel_ip, hosts.physnets, hosts.joined_at""",
    "v_changes": """
        SELECT DISTINCT changes.revision, changes.kind, changes.id, changes.request_id
        FROM changes WHERE changes.scope = ''""",
}
"""Name → its SELECT, with the words that differ left open. Each joins or groups: PostgreSQL would let the view of a
single table be written.
"""


def drop(connection: Connection) -> None:
    """Those that there are, of whichever version."""
    for name in inspect(connection).get_view_names():
        if name.startswith(_PREFIX):
            connection.exec_driver_sql(f'DROP VIEW "{name}"')


def create(connection: Connection) -> None:
    """All of them."""
    words = dict(_WORDS[connection.dialect.name])
    words |= {"addresses": _ADDRESSES.format(**words), "groups": _GROUPS.format(**words)}
    for name, query in VIEWS.items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {query.format(**words)}".replace("%", _percent(connection)))


def _percent(connection: Connection) -> str:
    """A driver that marks parameters with it wants it twice."""
    return "%%" if connection.dialect.paramstyle in ("format", "pyformat") else "%"
