"""The tables of Neutron's other resources."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _address_groups()
    _address_scopes()
    _agents()
    _application_credentials()
    _flavors()
    _leases()
    _metering_labels()
    _network_segment_ranges()
    _nova_ports()
    _nova_position()
    _quotas()
    _rbac_policies()
    _service_profiles()
    _default_group_rules()
    _dscp_marking_rules()
    _host_states()
    _metering_label_rules()
    _minimum_bandwidth_rules()
    _minimum_packet_rate_rules()
    _packet_rate_limit_rules()
    _subnet_pools()
    _auto_allocated_topologies()
    _conntrack_helpers()
    _network_segments()
    _local_ips()
    _logs()
    _ndp_proxies()
    _port_bindings()
    _trunks()
    _local_ip_associations()
    _port_forwardings()
    _subports()


def _standard() -> list[sa.Column[Any]]:
    """What every resource has."""
    texts = ("id", "project_id", "name", "description", "tags", "created_at", "updated_at")
    return [
        *(sa.Column(name, sa.Text(), nullable=False) for name in texts),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
    ]


def _address_groups() -> None:
    op.create_table(
        "address_groups",
        *_standard(),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_address_groups"),
    )
    op.create_index("ix_address_groups_project_id", "address_groups", ["project_id"], unique=False)


def _address_scopes() -> None:
    op.create_table(
        "address_scopes",
        *_standard(),
        sa.Column("ip_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_address_scopes"),
    )
    op.create_index("ix_address_scopes_project_id", "address_scopes", ["project_id"], unique=False)


def _agents() -> None:
    op.create_table(
        "agents",
        *_standard(),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("agent_type", sa.Text(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("unserved", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agents"),
    )
    op.create_index("ix_agents_host", "agents", ["host"], unique=False)


def _application_credentials() -> None:
    op.create_table(
        "application_credentials",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=True),
        sa.Column("unrestricted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_application_credentials"),
    )
    op.create_index("ix_application_credentials_project_id", "application_credentials", ["project_id"], unique=False)
    op.create_index(
        "ix_application_credentials_user_id_name", "application_credentials", ["user_id", "name"], unique=True
    )


def _flavors() -> None:
    op.create_table(
        "flavors",
        *_standard(),
        sa.Column("service_type", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("service_profiles", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_flavors"),
    )


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )


def _metering_labels() -> None:
    op.create_table(
        "metering_labels",
        *_standard(),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_metering_labels"),
    )
    op.create_index("ix_metering_labels_project_id", "metering_labels", ["project_id"], unique=False)


def _network_segment_ranges() -> None:
    op.create_table(
        "network_segment_ranges",
        *_standard(),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("network_type", sa.Text(), nullable=False),
        sa.Column("physnet", sa.Text(), nullable=False),
        sa.Column("minimum", sa.BigInteger(), nullable=False),
        sa.Column("maximum", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_network_segment_ranges"),
    )
    op.create_index("ix_network_segment_ranges_network_type", "network_segment_ranges", ["network_type"], unique=False)


def _nova_ports() -> None:
    op.create_table(
        "nova_ports",
        sa.Column("port_id", sa.Text(), nullable=False),
        sa.Column("server_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("port_id", name="pk_nova_ports"),
    )


def _nova_position() -> None:
    op.create_table(
        "nova_position",
        sa.Column("one", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_nova_position"),
    )


def _quotas() -> None:
    op.create_table(
        "quotas",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "resource", name="pk_quotas"),
    )


def _rbac_policies() -> None:
    op.create_table(
        "rbac_policies",
        *_standard(),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_project", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rbac_policies"),
    )
    op.create_index(
        "ix_rbac_policies_object_id_action_target_project",
        "rbac_policies",
        ["object_id", "action", "target_project"],
        unique=True,
    )
    op.create_index("ix_rbac_policies_project_id", "rbac_policies", ["project_id"], unique=False)
    op.create_index(
        "ix_rbac_policies_target_project_object_type_action",
        "rbac_policies",
        ["target_project", "object_type", "action"],
        unique=False,
    )


def _service_profiles() -> None:
    op.create_table(
        "service_profiles",
        *_standard(),
        sa.Column("driver", sa.Text(), nullable=False),
        sa.Column("metainfo", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_service_profiles"),
    )


def _default_group_rules() -> None:
    op.create_table(
        "default_group_rules",
        *_standard(),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("ethertype", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=True),
        sa.Column("port_range_min", sa.BigInteger(), nullable=True),
        sa.Column("port_range_max", sa.BigInteger(), nullable=True),
        sa.Column("remote_ip_prefix", sa.Text(), nullable=True),
        sa.Column("remote_group_id", sa.Text(), nullable=True),
        sa.Column("remote_address_group_id", sa.Text(), nullable=True),
        sa.Column("used_in_default_sg", sa.Boolean(), nullable=False),
        sa.Column("used_in_non_default_sg", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["remote_address_group_id"],
            ["address_groups.id"],
            name="fk_default_group_rules_remote_address_group_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_default_group_rules"),
    )
    op.create_index(
        "ix_default_group_rules_remote_address_group_id",
        "default_group_rules",
        ["remote_address_group_id"],
        unique=False,
    )


def _dscp_marking_rules() -> None:
    op.create_table(
        "dscp_marking_rules",
        *_standard(),
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("dscp_mark", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["qos_policies.id"], name="fk_dscp_marking_rules_policy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_dscp_marking_rules"),
    )
    op.create_index("ix_dscp_marking_rules_policy_id", "dscp_marking_rules", ["policy_id"], unique=True)


def _host_states() -> None:
    op.create_table(
        "host_states",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="JSON, as the controller that heard it last has it"),
        sa.ForeignKeyConstraint(["host"], ["hosts.name"], name="fk_host_states_host", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host", name="pk_host_states"),
    )


def _metering_label_rules() -> None:
    op.create_table(
        "metering_label_rules",
        *_standard(),
        sa.Column("metering_label_id", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("excluded", sa.Boolean(), nullable=False),
        sa.Column("remote_ip_prefix", sa.Text(), nullable=True),
        sa.Column("source_ip_prefix", sa.Text(), nullable=True),
        sa.Column("destination_ip_prefix", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["metering_label_id"], ["metering_labels.id"], name="fk_metering_label_rules_metering_label_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_metering_label_rules"),
    )
    op.create_index(
        "ix_metering_label_rules_metering_label_id", "metering_label_rules", ["metering_label_id"], unique=False
    )
    op.create_index("ix_metering_label_rules_project_id", "metering_label_rules", ["project_id"], unique=False)


def _minimum_bandwidth_rules() -> None:
    op.create_table(
        "minimum_bandwidth_rules",
        *_standard(),
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("min_kbps", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["qos_policies.id"], name="fk_minimum_bandwidth_rules_policy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_minimum_bandwidth_rules"),
    )
    op.create_index(
        "ix_minimum_bandwidth_rules_policy_id_direction",
        "minimum_bandwidth_rules",
        ["policy_id", "direction"],
        unique=True,
    )


def _minimum_packet_rate_rules() -> None:
    op.create_table(
        "minimum_packet_rate_rules",
        *_standard(),
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("min_kpps", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["qos_policies.id"], name="fk_minimum_packet_rate_rules_policy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_minimum_packet_rate_rules"),
    )
    op.create_index(
        "ix_minimum_packet_rate_rules_policy_id_direction",
        "minimum_packet_rate_rules",
        ["policy_id", "direction"],
        unique=True,
    )


def _packet_rate_limit_rules() -> None:
    op.create_table(
        "packet_rate_limit_rules",
        *_standard(),
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("max_kpps", sa.BigInteger(), nullable=False),
        sa.Column("max_burst_kpps", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["qos_policies.id"], name="fk_packet_rate_limit_rules_policy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_packet_rate_limit_rules"),
    )
    op.create_index(
        "ix_packet_rate_limit_rules_policy_id_direction",
        "packet_rate_limit_rules",
        ["policy_id", "direction"],
        unique=True,
    )


def _subnet_pools() -> None:
    op.create_table(
        "subnet_pools",
        *_standard(),
        sa.Column("ip_version", sa.BigInteger(), nullable=False),
        sa.Column("prefixes", sa.Text(), nullable=False),
        sa.Column("min_prefixlen", sa.BigInteger(), nullable=False),
        sa.Column("max_prefixlen", sa.BigInteger(), nullable=False),
        sa.Column("default_prefixlen", sa.BigInteger(), nullable=False),
        sa.Column("default_quota", sa.BigInteger(), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("address_scope_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["address_scope_id"], ["address_scopes.id"], name="fk_subnet_pools_address_scope_id"),
        sa.PrimaryKeyConstraint("id", name="pk_subnet_pools"),
    )
    op.create_index("ix_subnet_pools_address_scope_id", "subnet_pools", ["address_scope_id"], unique=False)
    op.create_index("ix_subnet_pools_project_id", "subnet_pools", ["project_id"], unique=False)
    op.create_index(
        "uq_subnet_pools_default",
        "subnet_pools",
        ["ip_version"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )


def _auto_allocated_topologies() -> None:
    op.create_table(
        "auto_allocated_topologies",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("network_id", sa.Text(), nullable=False),
        sa.Column("router_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name="fk_auto_allocated_topologies_network_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["router_id"], ["routers.id"], name="fk_auto_allocated_topologies_router_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", name="pk_auto_allocated_topologies"),
    )
    op.create_index(
        "ix_auto_allocated_topologies_network_id", "auto_allocated_topologies", ["network_id"], unique=False
    )
    op.create_index("ix_auto_allocated_topologies_router_id", "auto_allocated_topologies", ["router_id"], unique=False)


def _conntrack_helpers() -> None:
    op.create_table(
        "conntrack_helpers",
        *_standard(),
        sa.Column("router_id", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("l4_port", sa.BigInteger(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name="fk_conntrack_helpers_router_id"),
        sa.PrimaryKeyConstraint("id", name="pk_conntrack_helpers"),
    )
    op.create_index(
        "ix_conntrack_helpers_router_id_protocol_l4_port_module",
        "conntrack_helpers",
        ["router_id", "protocol", "l4_port", "module"],
        unique=True,
    )


def _network_segments() -> None:
    op.create_table(
        "network_segments",
        *_standard(),
        sa.Column("network_id", sa.Text(), nullable=False),
        sa.Column("network_type", sa.Text(), nullable=False),
        sa.Column("physnet", sa.Text(), nullable=True),
        sa.Column("segment", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name="fk_network_segments_network_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_network_segments"),
    )
    op.create_index("ix_network_segments_network_id", "network_segments", ["network_id"], unique=True)


def _local_ips() -> None:
    op.create_table(
        "local_ips",
        *_standard(),
        sa.Column("local_port_id", sa.Text(), nullable=False),
        sa.Column("network_id", sa.Text(), nullable=False),
        sa.Column("local_ip_address", sa.Text(), nullable=False),
        sa.Column("ip_mode", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["local_port_id"], ["ports.id"], name="fk_local_ips_local_port_id"),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_local_ips_network_id"),
        sa.PrimaryKeyConstraint("id", name="pk_local_ips"),
    )
    op.create_index("ix_local_ips_local_port_id", "local_ips", ["local_port_id"], unique=False)
    op.create_index("ix_local_ips_project_id", "local_ips", ["project_id"], unique=False)


def _logs() -> None:
    op.create_table(
        "logs",
        *_standard(),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=True),
        sa.Column("target_id", sa.Text(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource_id"], ["security_groups.id"], name="fk_logs_resource_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["target_id"], ["ports.id"], name="fk_logs_target_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_logs"),
    )
    op.create_index("ix_logs_project_id", "logs", ["project_id"], unique=False)
    op.create_index("ix_logs_resource_id", "logs", ["resource_id"], unique=False)
    op.create_index("ix_logs_target_id", "logs", ["target_id"], unique=False)


def _ndp_proxies() -> None:
    op.create_table(
        "ndp_proxies",
        *_standard(),
        sa.Column("router_id", sa.Text(), nullable=False),
        sa.Column("port_id", sa.Text(), nullable=False),
        sa.Column("ip_address", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_ndp_proxies_port_id"),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name="fk_ndp_proxies_router_id"),
        sa.PrimaryKeyConstraint("id", name="pk_ndp_proxies"),
    )
    op.create_index("ix_ndp_proxies_port_id", "ndp_proxies", ["port_id"], unique=False)
    op.create_index("ix_ndp_proxies_project_id", "ndp_proxies", ["project_id"], unique=False)
    op.create_index("ix_ndp_proxies_router_id", "ndp_proxies", ["router_id"], unique=False)


def _port_bindings() -> None:
    op.create_table(
        "port_bindings",
        *_standard(),
        sa.Column("port_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("vnic_type", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_port_bindings_port_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_port_bindings"),
    )
    op.create_index("ix_port_bindings_port_id_host", "port_bindings", ["port_id", "host"], unique=True)


def _trunks() -> None:
    op.create_table(
        "trunks",
        *_standard(),
        sa.Column("port_id", sa.Text(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_trunks_port_id"),
        sa.PrimaryKeyConstraint("id", name="pk_trunks"),
    )
    op.create_index("ix_trunks_port_id", "trunks", ["port_id"], unique=True)
    op.create_index("ix_trunks_project_id", "trunks", ["project_id"], unique=False)


def _local_ip_associations() -> None:
    op.create_table(
        "local_ip_associations",
        *_standard(),
        sa.Column("local_ip_id", sa.Text(), nullable=False),
        sa.Column("fixed_port_id", sa.Text(), nullable=False),
        sa.Column("fixed_ip", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["fixed_port_id"], ["ports.id"], name="fk_local_ip_associations_fixed_port_id"),
        sa.ForeignKeyConstraint(["local_ip_id"], ["local_ips.id"], name="fk_local_ip_associations_local_ip_id"),
        sa.PrimaryKeyConstraint("id", name="pk_local_ip_associations"),
    )
    op.create_index("ix_local_ip_associations_fixed_port_id", "local_ip_associations", ["fixed_port_id"], unique=False)
    op.create_index(
        "ix_local_ip_associations_local_ip_id_fixed_port_id",
        "local_ip_associations",
        ["local_ip_id", "fixed_port_id"],
        unique=True,
    )


def _port_forwardings() -> None:
    op.create_table(
        "port_forwardings",
        *_standard(),
        sa.Column("floatingip_id", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("external_first", sa.BigInteger(), nullable=False),
        sa.Column("external_last", sa.BigInteger(), nullable=False),
        sa.Column("internal_port_id", sa.Text(), nullable=False),
        sa.Column("internal_ip_address", sa.Text(), nullable=False),
        sa.Column("internal_first", sa.BigInteger(), nullable=False),
        sa.Column("internal_last", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["floatingip_id"], ["floating_ips.id"], name="fk_port_forwardings_floatingip_id"),
        sa.ForeignKeyConstraint(["internal_port_id"], ["ports.id"], name="fk_port_forwardings_internal_port_id"),
        sa.PrimaryKeyConstraint("id", name="pk_port_forwardings"),
    )
    op.create_index(
        "ix_port_forwardings_floatingip_id_protocol_external_first",
        "port_forwardings",
        ["floatingip_id", "protocol", "external_first"],
        unique=True,
    )
    op.create_index(
        "ix_port_forwardings_internal",
        "port_forwardings",
        ["internal_port_id", "protocol", "internal_ip_address", "internal_first"],
        unique=True,
    )


def _subports() -> None:
    op.create_table(
        "subports",
        sa.Column("port_id", sa.Text(), nullable=False),
        sa.Column("trunk_id", sa.Text(), nullable=False),
        sa.Column("segmentation_type", sa.Text(), nullable=False),
        sa.Column("segmentation_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_subports_port_id"),
        sa.ForeignKeyConstraint(["trunk_id"], ["trunks.id"], name="fk_subports_trunk_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("port_id", name="pk_subports"),
    )
    op.create_index(
        "ix_subports_trunk_id_segmentation_type_segmentation_id",
        "subports",
        ["trunk_id", "segmentation_type", "segmentation_id"],
        unique=True,
    )
