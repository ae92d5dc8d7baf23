"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _changes()
    _hosts()
    _join_tokens()
    _meta()
    _projects()
    _qos_policies()
    _role_assignments()
    _roles()
    _routers()
    _security_groups()
    _tokens()
    _users()
    _bandwidth_limit_rules()
    _networks()
    _port_block_rules()
    _security_group_rules()
    _ports()
    _subnets()
    _floating_ips()
    _ip_allocations()
    _ip_free()
    _port_security_groups()


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", "kind", "id", "scope", name="pk_changes"),
    )


def _hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tunnel_ip", sa.Text(), nullable=True),
        sa.Column("physnets", sa.Text(), nullable=False),
        sa.Column("credential_hash", sa.Text(), nullable=False),
        sa.Column("schema", sa.BigInteger(), nullable=False),
        sa.Column("joined_at", sa.Text(), nullable=False),
        sa.Column("accepted_epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_hosts"),
    )
    op.create_index("ix_hosts_credential_hash", "hosts", ["credential_hash"], unique=False)


def _join_tokens() -> None:
    op.create_table(
        "join_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_join_tokens"),
    )
    op.create_index("ix_join_tokens_expires_at", "join_tokens", ["expires_at"], unique=False)


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_meta"),
    )


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.create_index("ix_projects_name", "projects", ["name"], unique=True)


def _qos_policies() -> None:
    op.create_table(
        "qos_policies",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_qos_policies"),
    )
    op.create_index("ix_qos_policies_project_id", "qos_policies", ["project_id"], unique=False)


def _role_assignments() -> None:
    op.create_table(
        "role_assignments",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("role_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "project_id", "role_id", name="pk_role_assignments"),
    )
    op.create_index("ix_role_assignments_project_id", "role_assignments", ["project_id"], unique=False)
    op.create_index("ix_role_assignments_role_id", "role_assignments", ["role_id"], unique=False)


def _roles() -> None:
    op.create_table(
        "roles",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
    )
    op.create_index("ix_roles_name", "roles", ["name"], unique=True)


def _routers() -> None:
    op.create_table(
        "routers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("gateway_network_id", sa.Text(), nullable=True),
        sa.Column("gateway_port_id", sa.Text(), nullable=True),
        sa.Column("enable_snat", sa.Boolean(), nullable=False),
        sa.Column("routes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_routers"),
    )
    op.create_index("ix_routers_gateway_network_id", "routers", ["gateway_network_id"], unique=False)
    op.create_index("ix_routers_project_id", "routers", ["project_id"], unique=False)


def _security_groups() -> None:
    op.create_table(
        "security_groups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_security_groups"),
    )
    op.create_index("ix_security_groups_project_id", "security_groups", ["project_id"], unique=False)
    op.create_index(
        "uq_security_groups_default",
        "security_groups",
        ["project_id"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("audit_id", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
    )
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"], unique=False)
    op.create_index("ix_tokens_project_id", "tokens", ["project_id"], unique=False)
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"], unique=False)


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("default_project_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    op.create_index("ix_users_name", "users", ["name"], unique=True)


def _bandwidth_limit_rules() -> None:
    op.create_table(
        "bandwidth_limit_rules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("max_kbps", sa.BigInteger(), nullable=False),
        sa.Column("max_burst_kbps", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["qos_policies.id"], name="fk_bandwidth_limit_rules_policy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_bandwidth_limit_rules"),
    )
    op.create_index(
        "ix_bandwidth_limit_rules_policy_id_direction", "bandwidth_limit_rules", ["policy_id", "direction"], unique=True
    )


def _networks() -> None:
    op.create_table(
        "networks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("external", sa.Boolean(), nullable=False),
        sa.Column("mtu", sa.BigInteger(), nullable=False),
        sa.Column("port_security", sa.Boolean(), nullable=False),
        sa.Column("network_type", sa.Text(), nullable=False),
        sa.Column("segment", sa.BigInteger(), nullable=True),
        sa.Column("physnet", sa.Text(), nullable=True),
        sa.Column("qos_policy_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["qos_policy_id"], ["qos_policies.id"], name="fk_networks_qos_policy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_networks"),
    )
    op.create_index("ix_networks_project_id", "networks", ["project_id"], unique=False)
    op.create_index("ix_networks_qos_policy_id", "networks", ["qos_policy_id"], unique=False)
    op.create_index(
        "uq_networks_flat",
        "networks",
        ["physnet"],
        unique=True,
        sqlite_where=sa.text("network_type = 'flat'"),
        postgresql_where=sa.text("network_type = 'flat'"),
    )
    op.create_index(
        "uq_networks_vlan",
        "networks",
        ["physnet", "segment"],
        unique=True,
        sqlite_where=sa.text("network_type = 'vlan'"),
        postgresql_where=sa.text("network_type = 'vlan'"),
    )
    op.create_index(
        "uq_networks_vni",
        "networks",
        ["segment"],
        unique=True,
        sqlite_where=sa.text("network_type = 'vxlan'"),
        postgresql_where=sa.text("network_type = 'vxlan'"),
    )


def _port_block_rules() -> None:
    op.create_table(
        "port_block_rules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("port_range_min", sa.BigInteger(), nullable=False),
        sa.Column("port_range_max", sa.BigInteger(), nullable=False),
        sa.Column("remote_ip_prefix", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["policy_id"], ["qos_policies.id"], name="fk_port_block_rules_policy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_port_block_rules"),
    )
    op.create_index("ix_port_block_rules_policy_id", "port_block_rules", ["policy_id"], unique=False)


def _security_group_rules() -> None:
    op.create_table(
        "security_group_rules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("security_group_id", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("ethertype", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=True),
        sa.Column("port_range_min", sa.BigInteger(), nullable=True),
        sa.Column("port_range_max", sa.BigInteger(), nullable=True),
        sa.Column("remote_ip_prefix", sa.Text(), nullable=True),
        sa.Column("remote_group_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["remote_group_id"], ["security_groups.id"], name="fk_security_group_rules_remote_group_id"
        ),
        sa.ForeignKeyConstraint(
            ["security_group_id"], ["security_groups.id"], name="fk_security_group_rules_security_group_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_security_group_rules"),
    )
    op.create_index("ix_security_group_rules_project_id", "security_group_rules", ["project_id"], unique=False)
    op.create_index(
        "ix_security_group_rules_remote_group_id", "security_group_rules", ["remote_group_id"], unique=False
    )
    op.create_index(
        "ix_security_group_rules_security_group_id", "security_group_rules", ["security_group_id"], unique=False
    )


def _ports() -> None:
    op.create_table(
        "ports",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("network_id", sa.Text(), nullable=False),
        sa.Column("mac_address", sa.Text(), nullable=False),
        sa.Column("fixed_ips", sa.Text(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("device_owner", sa.Text(), nullable=False),
        sa.Column("security_groups", sa.Text(), nullable=False),
        sa.Column("port_security", sa.Boolean(), nullable=False),
        sa.Column("allowed_address_pairs", sa.Text(), nullable=False),
        sa.Column("binding_host", sa.Text(), nullable=False),
        sa.Column("binding_vnic_type", sa.Text(), nullable=False),
        sa.Column("binding_profile", sa.Text(), nullable=False),
        sa.Column("qos_policy_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_ports_network_id"),
        sa.ForeignKeyConstraint(["qos_policy_id"], ["qos_policies.id"], name="fk_ports_qos_policy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_ports"),
    )
    op.create_index("ix_ports_binding_host", "ports", ["binding_host"], unique=False)
    op.create_index("ix_ports_device_id", "ports", ["device_id"], unique=False)
    op.create_index("ix_ports_network_id_mac_address", "ports", ["network_id", "mac_address"], unique=True)
    op.create_index("ix_ports_project_id", "ports", ["project_id"], unique=False)
    op.create_index("ix_ports_qos_policy_id", "ports", ["qos_policy_id"], unique=False)


def _subnets() -> None:
    op.create_table(
        "subnets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("network_id", sa.Text(), nullable=False),
        sa.Column("ip_version", sa.BigInteger(), nullable=False),
        sa.Column("cidr", sa.Text(), nullable=False),
        sa.Column("gateway_ip", sa.Text(), nullable=True),
        sa.Column("enable_dhcp", sa.Boolean(), nullable=False),
        sa.Column("allocation_pools", sa.Text(), nullable=False),
        sa.Column("dns_nameservers", sa.Text(), nullable=False),
        sa.Column("host_routes", sa.Text(), nullable=False),
        sa.Column("ipv6_ra_mode", sa.Text(), nullable=True),
        sa.Column("ipv6_address_mode", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_subnets_network_id"),
        sa.PrimaryKeyConstraint("id", name="pk_subnets"),
    )
    op.create_index("ix_subnets_network_id", "subnets", ["network_id"], unique=False)
    op.create_index("ix_subnets_project_id", "subnets", ["project_id"], unique=False)


def _floating_ips() -> None:
    op.create_table(
        "floating_ips",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("floating_network_id", sa.Text(), nullable=False),
        sa.Column("floating_ip_address", sa.Text(), nullable=False),
        sa.Column("floating_port_id", sa.Text(), nullable=False),
        sa.Column("port_id", sa.Text(), nullable=True),
        sa.Column("fixed_ip_address", sa.Text(), nullable=True),
        sa.Column("router_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["floating_network_id"], ["networks.id"], name="fk_floating_ips_floating_network_id"),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_floating_ips_port_id"),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name="fk_floating_ips_router_id"),
        sa.PrimaryKeyConstraint("id", name="pk_floating_ips"),
    )
    op.create_index("ix_floating_ips_floating_port_id", "floating_ips", ["floating_port_id"], unique=False)
    op.create_index(
        "ix_floating_ips_port_id_fixed_ip_address_floating_network_id",
        "floating_ips",
        ["port_id", "fixed_ip_address", "floating_network_id"],
        unique=True,
    )
    op.create_index("ix_floating_ips_project_id", "floating_ips", ["project_id"], unique=False)
    op.create_index("ix_floating_ips_router_id", "floating_ips", ["router_id"], unique=False)


def _ip_allocations() -> None:
    op.create_table(
        "ip_allocations",
        sa.Column("subnet_id", sa.Text(), nullable=False),
        sa.Column(
            "ip", sa.Text(), nullable=False, comment="hexadecimal digits of fixed width, so that they can be compared"
        ),
        sa.Column("port_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_ip_allocations_port_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnets.id"], name="fk_ip_allocations_subnet_id"),
        sa.PrimaryKeyConstraint("subnet_id", "ip", name="pk_ip_allocations"),
    )
    op.create_index("ix_ip_allocations_port_id", "ip_allocations", ["port_id"], unique=False)


def _ip_free() -> None:
    op.create_table(
        "ip_free",
        sa.Column("subnet_id", sa.Text(), nullable=False),
        sa.Column("first", sa.Text(), nullable=False),
        sa.Column("last", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnets.id"], name="fk_ip_free_subnet_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("subnet_id", "first", name="pk_ip_free"),
    )


def _port_security_groups() -> None:
    op.create_table(
        "port_security_groups",
        sa.Column("port_id", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["security_groups.id"], name="fk_port_security_groups_group_id"),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_port_security_groups_port_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("port_id", "group_id", name="pk_port_security_groups"),
    )
    op.create_index("ix_port_security_groups_group_id", "port_security_groups", ["group_id"], unique=False)
