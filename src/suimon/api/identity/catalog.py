"""The service catalog and the documents around it: the same for everybody, but for the address the client came by."""

from typing import Final

REGION: Final = "RegionOne"
_INTERFACES: Final = ("public", "internal", "admin")
_SERVICES: Final = {
    "identity": ("keystone", "/identity", "5b1dca8a7a5f4f1d8f0d7a3f6b0e0001"),
    "network": ("neutron", "", "5b1dca8a7a5f4f1d8f0d7a3f6b0e0002"),
    "policy": ("congress", "/policy", "5b1dca8a7a5f4f1d8f0d7a3f6b0e0003"),
}
"""Type → name, path below the origin, id. Clients append the version themselves."""


def catalog(origin: str) -> list[dict[str, object]]:
    """As a token's body and `/auth/catalog` tell it."""
    return [
        {"type": kind, "name": name, "id": service_id, "endpoints": [_endpoint(kind, i, origin) for i in _INTERFACES]}
        for kind, (name, _, service_id) in _SERVICES.items()
    ]


def services(origin: str) -> list[dict[str, object]]:
    """The same as administrators list it."""
    return [
        {
            "id": service_id,
            "type": kind,
            "name": name,
            "enabled": True,
            "description": "",
            "links": _link(origin, f"services/{service_id}"),
        }
        for kind, (name, _, service_id) in _SERVICES.items()
    ]


def endpoints(origin: str) -> list[dict[str, object]]:
    """Every endpoint with the service it belongs to."""
    return [
        _endpoint(kind, interface, origin)
        | {
            "service_id": service_id,
            "enabled": True,
            "links": _link(origin, f"endpoints/{_endpoint_id(kind, interface)}"),
        }
        for kind, (_, _, service_id) in _SERVICES.items()
        for interface in _INTERFACES
    ]


def regions(origin: str) -> list[dict[str, object]]:
    """The one region."""
    return [{"id": REGION, "description": "", "parent_region_id": None, "links": _link(origin, f"regions/{REGION}")}]


def version(origin: str) -> dict[str, object]:
    """Keystone's version document."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{origin}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def _endpoint(kind: str, interface: str, origin: str) -> dict[str, object]:
    url = origin + _SERVICES[kind][1]
    return {
        "id": _endpoint_id(kind, interface),
        "interface": interface,
        "region": REGION,
        "region_id": REGION,
        "url": url,
    }


def _endpoint_id(kind: str, interface: str) -> str:
    return f"{_SERVICES[kind][2][:-1]}{_INTERFACES.index(interface) + 4:x}{_SERVICES[kind][2][-1]}"[-32:]


def _link(origin: str, path: str) -> dict[str, str]:
    return {"self": f"{origin}/identity/v3/{path}"}
