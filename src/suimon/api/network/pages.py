"""The links between the pages of a list, as Neutron gives them: absolute, and only when a limit was asked for."""

from collections.abc import Sequence
from urllib.parse import urlencode

from suimon.api.wire import Call
from suimon.model.query import Query

Links = list[dict[str, str]]


def page_links(call: Call, query: Query, page: Sequence[str]) -> Links:
    """`next` when the page is full (or was read backwards), `previous` when it is full (or was read forwards).

    `page` is the ids on it.
    """
    if not query.limit:
        return []
    full = len(page) >= query.limit
    links = []
    if full or query.reverse:
        links.append({"rel": "next", "href": _href(call, page[-1] if page else None, reverse=False)})
    if full or not query.reverse:
        links.append({"rel": "previous", "href": _href(call, page[0] if page else None, reverse=True)})
    return links


def _href(call: Call, marker: str | None, *, reverse: bool) -> str:
    kept = [(key, value) for key, value in call.query() if key not in ("marker", "page_reverse")]
    if marker:
        kept.append(("marker", marker))
    if reverse:
        kept.append(("page_reverse", "True"))
    return f"{call.origin}{call.request.url.path}?{urlencode(kept)}"
