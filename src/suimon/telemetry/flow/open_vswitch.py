"""The templates of Open vSwitch's IPFIX, which it repeats every ten minutes only: known before it announces them.

Their ids and fields follow from what is in a packet (`ipfix.c` of Open vSwitch 3.1; a test compares them with what
one announced). Whether records have the field of `other_config:virtual_obs_id` is the operator's choice, so each id
has two templates; a record fits one of them only.
"""

import struct
from functools import cache
from itertools import product
from typing import Final

from suimon.telemetry.flow.layout import VARIABLE, Template
from suimon.telemetry.flow.templates import FIRST_ID

_VMWARE: Final = 6876
_Fields = tuple[tuple[int, int], ...]
_INTERFACE_NAMES: Final[_Fields] = ((82, VARIABLE), (83, VARIABLE))
_ETHERNET: Final[_Fields] = (
    (138, 4),
    (61, 1),
    (56, 6),
    (80, 6),
    (256, 2),
    (240, 1),
    (10, 4),
    (368, 4),
    *_INTERFACE_NAMES,
)
_EGRESS: Final[_Fields] = ((14, 4), (369, 4), *_INTERFACE_NAMES)
_VLAN: Final[_Fields] = ((58, 2), (243, 2), (244, 1))
_IP: Final[_Fields] = ((60, 1), (192, 1), (4, 1), (195, 1), (196, 1), (5, 1))
_L3: Final[tuple[_Fields, ...]] = ((), (*_IP, (8, 4), (12, 4)), (*_IP, (27, 16), (28, 16), (31, 4)))
"""Unknown, IPv4, IPv6."""
_PORTS: Final[_Fields] = ((7, 2), (11, 2))
_UNKNOWN, _TCP, _UDP, _SCTP, _ICMP = range(5)
_TUNNEL: Final = ((893, 4), (894, 4), (895, 1), (896, 2), (897, 2), (891, 1), (892, VARIABLE))
_OBSERVER: Final = (898, VARIABLE)
_COUNTS: Final[_Fields] = (
    *((158, 4), (159, 4), (133, 8), (135, 8), (2, 8), (86, 8), (354, 8), (355, 8), (356, 8), (357, 8), (358, 8)),
    *((19, 8), (174, 8), (352, 8), (353, 8), (136, 1)),
)
_IP_COUNTS: Final[_Fields] = (
    *((132, 8), (134, 8), (1, 8), (85, 8), (198, 8), (199, 8), (25, 8), (26, 8), (20, 8), (175, 8)),
)
_TCP_COUNTS: Final[_Fields] = ((222, 8), (219, 8), (221, 8), (220, 8), (218, 8), (223, 8))


def known_templates(number: int) -> tuple[Template, ...]:
    """Those that a set of this id may have; none when Open vSwitch has no such id."""
    return _known().get(number, ())


@cache
def _known() -> dict[int, tuple[Template, ...]]:
    kinds = product((False, True), range(3), range(5), (False, True), (False, True))
    found = {}
    for number, (vlan, l3, l4, tunnel, egress) in enumerate(kinds, FIRST_ID):
        if l3 or not l4:
            found[number] = tuple(_template((vlan, tunnel, egress), l3, l4, observer) for observer in (False, True))
    return found


def _template(has: tuple[bool, bool, bool], l3: int, l4: int, observer: bool) -> Template:
    vlan, tunnel, egress = has
    icmp = ((178, 1), (179, 1)) if l3 == 2 else ((176, 1), (177, 1))
    own = _ETHERNET + _EGRESS * egress + _VLAN * vlan + _L3[l3]
    own += () if l4 == _UNKNOWN else icmp if l4 == _ICMP else _PORTS
    counts = _COUNTS + (_IP_COUNTS if l3 else ()) + (_TCP_COUNTS if l4 == _TCP else ())
    vendor = (*(_TUNNEL * tunnel), *((_OBSERVER,) * observer))
    spec = _plain(own) + b"".join(struct.pack("!HHI", 0x8000 | e, n, _VMWARE) for e, n in vendor) + _plain(counts)
    return Template(spec, 0, 10)


def _plain(fields: _Fields) -> bytes:
    return b"".join(struct.pack("!HH", element, length) for element, length in fields)
