"""What of Neutron works here: `/v2.0/extensions`. Clients decide by it what they ask for: it may not promise too much.

An alias is listed when the registry has everything it needs (`collection` or `collection:attribute`); what isn't an
attribute but a behaviour (paging, If-Match) is held by the tests of the API.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.responses import Response

from suimon.api.wire import answer
from suimon.model.attributes import Spec


class Extension(NamedTuple):
    """Its name and what it is, as Neutron tells them, and what has to exist for it to work."""

    name: str
    description: str
    needs: tuple[str, ...] = ()


EXTENSIONS: Final[Mapping[str, Extension]] = {
    "allowed-address-pairs": Extension(
        "Allowed Address Pairs", "Further addresses that a port may use", ("ports:allowed_address_pairs",)
    ),
    "binding": Extension("Port Binding", "Which host a port is on, and how", ("ports:binding:host_id",)),
    "empty-string-filtering": Extension("Empty String Filtering", "An empty value filters for the empty string"),
    "external-net": Extension("Neutron external network", "Networks that lead outside", ("networks:router:external",)),
    "extraroute": Extension("Neutron Extra Route", "Static routes of a router", ("routers:routes",)),
    "extraroute-atomic": Extension(
        "Atomically add/remove extra routes", "Routes added and removed one by one", ("routers/add_extraroutes",)
    ),
    "filter-validation": Extension("Filter parameters validation", "Unknown filters are refused"),
    "fip-port-details": Extension(
        "Floating IP Port Details Extension", "The port behind a floating IP", ("floatingips:port_details",)
    ),
    "net-mtu": Extension("Network MTU", "The MTU of a network", ("networks:mtu",)),
    "net-mtu-writable": Extension("Network MTU (writable)", "The MTU of a network can be set", ("networks:mtu",)),
    "pagination": Extension("Pagination support", "Lists come in pages when a limit is given"),
    "port-security": Extension("Port Security", "Anti-spoofing and groups of a port", ("ports:port_security_enabled",)),
    "project-id": Extension("project_id field enabled", "Owners are called project_id"),
    "provider": Extension(
        "Provider Network", "Networks on a segment that the operator names", ("networks:provider:network_type",)
    ),
    "qos": Extension("Quality of Service", "Policies of limits and blocks", ("qos/policies",)),
    "qos-bw-limit-direction": Extension(
        "Direction for QoS bandwidth limit rule", "Limits both ways", ("qos/policies/bandwidth_limit_rules:direction",)
    ),
    "revision-if-match": Extension("If-Match constraints based on revision_number", "A change only of what was read"),
    "router": Extension("Neutron L3 Router", "Routers between networks, and floating IPs", ("routers", "floatingips")),
    "security-group": Extension(
        "security-group", "Security groups and their rules", ("security-groups", "security-group-rules")
    ),
    "security-groups-normalized-cidr": Extension(
        "Normalized CIDR field for security group rules",
        "A rule's prefix without host bits",
        ("security-group-rules:normalized_cidr",),
    ),
    "sorting": Extension("Sorting support", "Lists can be sorted"),
    "standard-attr-description": Extension("standard-attr-description", "A description on everything"),
    "standard-attr-revisions": Extension("Resource revision numbers", "A number that rises with each change"),
    "standard-attr-timestamp": Extension("Resource timestamps", "When something was made and changed"),
    "suimon-port-block": Extension(
        "QoS port block rules",
        "Rules that block L4 ports, established connections too",
        ("qos/policies/port_block_rules",),
    ),
}


def listed(things: frozenset[str]) -> Response:
    """All that work. `things` is what the registry has, as `needs` names it."""
    return answer({"extensions": [_told(alias) for alias, it in EXTENSIONS.items() if things.issuperset(it.needs)]})


def one(things: frozenset[str], alias: str) -> Response:
    """One that works; otherwise the 404 that Neutron has for this path alone."""
    if alias in EXTENSIONS and things.issuperset(EXTENSIONS[alias].needs):
        return answer({"extension": _told(alias)})
    message = f"The resource could not be found.<br /><br />\nExtension with alias {alias} does not exist\n\n"
    return answer({"code": "404 Not Found", "title": "Not Found", "message": message}, 404)


def things_of(path: str, spec: Spec) -> set[str]:
    """A collection and its attributes, as `needs` names them."""
    return {path} | {f"{path}:{attribute.name}" for attribute in spec.attributes}


def _told(alias: str) -> dict[str, object]:
    name, description, _ = EXTENSIONS[alias]
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "links": [],
        "updated": "2026-11-01T00:00:00-00:00",
    }
