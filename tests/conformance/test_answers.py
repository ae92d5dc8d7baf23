"""Each way in which we don't answer as a real Neutron did has its reason in docs/guide/compatibility.md."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Final

from tests.api.cloud import Cloud
from tests.conformance.answers import Difference, differences

GUIDE: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "guide" / "compatibility.md"

EXPLAINED: Final[dict[str, tuple[str, ...]]] = {
    "The cloud that was asked": (
        r"dns_assignment\[\]\.fqdn: .*openstackgate\.local\. → .*openstacklocal\.",
        r" quotas?[.:].* → ",
        r"GET /v2\.0/qos/rule-types rule_types: ",
        r"service_providers: ",
    ),
    "What is chosen": (
        r"port\.fixed_ips\[\]\.subnet_id: ",
        r"GET /v2\.0/ports\?fixed_ips=.* ports: ",
        r"DELETE /v2\.0/subnets/<id5> status: 204 → 409 SubnetInUse",
    ),
    "More is shown": (
        r"GET /v2\.0/ resources: ",
        r"network\.is_default: \(absent\) → false",
        r"auto_allocated_topology\.tenant_id: \(absent\) → null",
        r"port\.trunk_details: \(absent\) → null",
        r"floatingip\.qos_network_policy_id: \(absent\) → null",
        r"port\.suimon:status_reason: \(absent\) → ",
    ),
    "Extensions in our words": (r"extension\.(description|updated): ",),
    "Rules that a group is made with": (
        r"security_group_rules\[\]\.description: null → $",
        r"security_group_rules\[\]\.(standard_attr_id|tags): .* → \(absent\)",
    ),
    "The router after a change of its routes": (
        r"_extraroutes .*router\.(enable_\w+|gw_port_id|ha_vr_id): .* → \(absent\)",
    ),
    "A router's own port": (r"PUT /v2\.0/ports/<interface> .* → 409 ServicePortInUse",),
    "Where Neutron fails": (
        r"tags/x status: 500 HTTPInternalServerError: .* → 404 NetworkNotFound",
        r"status: 500 SubnetAllocationError: (.*) → 409 SubnetAllocationError: \1",
    ),
    "How full the pools are": (r"ip_availability_details: .* → \(absent\)",),
}
"""Heading in the guide → patterns of `METHOD path body where: Neutron's → ours`."""


def test_each_difference_is_explained(tmp_path: Path) -> None:
    with closing(Cloud(tmp_path)) as cloud:
        found = list(differences(cloud))
    patterns = [pattern for some in EXPLAINED.values() for pattern in some]
    unexplained = [_line(it) for it in found if not any(re.search(pattern, _line(it)) for pattern in patterns)]
    assert not unexplained, "\n".join(unexplained)
    stale = [pattern for pattern in patterns if not any(re.search(pattern, _line(it)) for it in found)]
    assert not stale, stale


def test_each_explanation_is_in_the_guide() -> None:
    told = set(re.findall(r"^### (.*)$", GUIDE.read_text(), re.MULTILINE))
    assert told == set(EXPLAINED)


def _line(difference: Difference) -> str:
    return f"{difference.request} {difference.told}"
