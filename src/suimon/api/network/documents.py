"""What a client may read of the API itself: the version, the collections there are."""

from collections.abc import Mapping

from starlette.responses import Response

from suimon.api.errors import MISSING, network_error
from suimon.api.wire import Call, answer
from suimon.model.errors import NotFound


class Versions:
    """`GET /`: Neutron's version document, without a token. Answers for no other path."""

    dialect = staticmethod(network_error)

    async def answer(self, call: Call) -> Response:
        """Raises NotFound for anything but the root itself."""
        if call.segments or call.method not in ("GET", "HEAD"):
            raise NotFound(MISSING)
        links = [{"rel": "self", "href": f"{call.origin}/v2.0/"}]
        return answer({"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})


def collections(origin: str, plural_of: Mapping[str, str]) -> dict[str, object]:
    """`GET /v2.0`: singular name by collection (as in the URL) to Neutron's document of them."""
    return {
        "resources": [
            {"name": name, "collection": path, "links": [{"rel": "self", "href": f"{origin}/v2.0/{path}"}]}
            for path, name in plural_of.items()
        ]
    }
