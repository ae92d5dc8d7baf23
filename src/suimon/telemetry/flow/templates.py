"""Templates of NetFlow v9 and IPFIX as exporters announce them: parsed, bounded in number, and kept over restarts."""

import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from suimon.telemetry.flow.layout import Template, least_bytes

FIRST_ID: Final = 256
"""Sets with smaller ids hold templates, or are reserved."""
MOST_PER_STREAM: Final = 512
_MOST_LEARNED: Final = 16
"""Sets with templates that are known again by their bytes, of one stream."""
_MOST_FIELDS: Final = 128
_LEAST_BYTES: Final = 8
"""As an address and a count have. What says less, and is no option, costs us as much memory as any record."""
_MOST_BYTES: Final = 9000
"""A record that is larger fits no datagram."""
_ENTERPRISE: Final = 0x8000
_TEMPLATES: Final = {9: (0, 1), 10: (2, 3)}
"""By version: the ids of sets with templates and with options templates."""


class DecodeError(ValueError):
    """These bytes are not what they should be; says what is wrong with them."""


class Announced(NamedTuple):
    """`template` is None when it was withdrawn."""

    id: int
    template: Template | None


class Templates:
    """Those of one exporter and observation domain, by id. When there are too many, the oldest goes."""

    def __init__(self, known: Mapping[int, Template] | None = None) -> None:
        self.by_id: dict[int, Template] = dict(known or {})
        self._learned: set[tuple[int, bytes]] = set()

    def has_all_of(self, set_id: int, body: bytes) -> bool:
        """Whether that set was learned, and nothing has changed since: exporters say all again and again."""
        return (set_id, body) in self._learned

    def learned(self, set_id: int, body: bytes) -> None:
        """The whole of that set."""
        if len(self._learned) < _MOST_LEARNED:
            self._learned.add((set_id, body))

    def forget(self) -> None:
        """All of them."""
        self.by_id.clear()
        self._learned.clear()

    def changes(self, announced: Announced) -> bool:
        """Whether records that were sent before it must be decoded before it is learned."""
        known = self.by_id.get(announced.id)
        return known is not None and known != announced.template

    def learn(self, announced: Announced) -> bool:
        """Whether anything is different now."""
        if self.by_id.get(announced.id) == announced.template:
            return False
        self._learned.clear()
        if announced.template is None:
            del self.by_id[announced.id]
            return True
        if announced.id not in self.by_id and len(self.by_id) >= MOST_PER_STREAM:
            del self.by_id[next(iter(self.by_id))]
        self.by_id[announced.id] = announced.template
        return True


def announced(version: int, set_id: int, body: bytes, known: Mapping[int, Template]) -> Iterator[Announced]:
    """What a set with templates says, in its order. Raises DecodeError at what is malformed, after what was whole."""
    plain, options = _TEMPLATES[version]
    if set_id not in (plain, options):
        raise DecodeError(f"set {set_id} is reserved")
    at = 0
    while len(body) - at >= 4:
        number, count = struct.unpack_from("!HH", body, at)
        at += 4
        if version == 10 and count == 0 and (number >= FIRST_ID or number == set_id):
            # A withdrawal (RFC 7011, section 8.1); the set's own id stands for all of its kind.
            gone = (
                [number]
                if number >= FIRST_ID
                else [i for i, t in known.items() if bool(t.scope) == (set_id == options)]
            )
            yield from (Announced(each, None) for each in gone)
            continue
        if number < FIRST_ID:
            # Zeros at the end are padding.
            if not any(body[at - 4 :]):
                return
            raise DecodeError(f"a template has the id {number}")
        scope = 0
        if set_id == options:
            if len(body) - at < 2:
                raise DecodeError(f"options template {number} is cut off")
            second = int.from_bytes(body[at : at + 2], "big")
            at += 2
            # NetFlow v9 says how many bytes the specifiers have, IPFIX how many fields (RFC 3954, 6.1; 7011, 3.4.2).
            scope, count = (count // 4, (count + second) // 4) if version == 9 else (second, count)
        end = _end(version, body, at, count, number)
        yield Announced(number, _checked(Template(body[at:end], scope, version), number, set_id == options))
        at = end


def _end(version: int, body: bytes, at: int, count: int, number: int) -> int:
    if not 0 < count <= _MOST_FIELDS:
        raise DecodeError(f"template {number} has {count} fields")
    for _ in range(count):
        if len(body) - at < 4:
            raise DecodeError(f"template {number} is cut off")
        at += 8 if version == 10 and body[at] & (_ENTERPRISE >> 8) else 4
    if at > len(body):
        raise DecodeError(f"template {number} is cut off")
    return at


def _checked(template: Template, number: int, options: bool) -> Template:
    if options and not template.scope:
        raise DecodeError(f"options template {number} has no scope")
    if not (1 if options else _LEAST_BYTES) <= least_bytes(template) <= _MOST_BYTES:
        raise DecodeError(f"records of template {number} have {least_bytes(template)} bytes")
    return template


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A template as it is written to disk."""

    exporter: str
    version: int
    domain: int
    number: int
    spec: bytes
    scope: int

    @property
    def template(self) -> Template:
        return Template(self.spec, self.scope, self.version)


def loaded(raw: bytes) -> list[Kept]:
    """What `dumped` wrote. Raises DecodeError when it isn't that: then templates are learned anew."""
    try:
        kept = msgspec.json.decode(raw, type=list[Kept])
    except msgspec.MsgspecError as error:
        raise DecodeError(f"these are no kept templates: {error}") from error
    for each in kept:
        _check_again(each)
    return kept


def dumped(kept: list[Kept]) -> bytes:
    """As JSON."""
    return msgspec.json.encode(kept)


def _check_again(kept: Kept) -> None:
    if kept.version not in _TEMPLATES or kept.number < FIRST_ID:
        raise DecodeError(f"version {kept.version} has no template {kept.number}")
    at = count = 0
    while at < len(kept.spec):
        at, count = at + (8 if kept.version == 10 and kept.spec[at] & (_ENTERPRISE >> 8) else 4), count + 1
    _end(kept.version, kept.spec, 0, count, kept.number)
    _checked(kept.template, kept.number, kept.scope > 0)
