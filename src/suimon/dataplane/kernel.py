"""Which datapath this machine's kernel has."""

from __future__ import annotations

import socket
import struct
from typing import Final

_GENERIC_NETLINK: Final = 16
_CONTROL_FAMILY, _GET_FAMILY, _FAMILY_NAME, _REQUEST, _NETLINK_ERROR = 16, 3, 2, 1, 2


def kernel_datapath() -> bool:
    """Whether the kernel has Open vSwitch's datapath: asks for its generic netlink family, which also loads the module.

    The column `datapath_types` is no help: it lists what ovs-vswitchd was built with.
    """
    name = b"ovs_datapath\0"
    attribute = struct.pack("=HH", 4 + len(name), _FAMILY_NAME) + name
    attribute += bytes(-len(attribute) % 4)
    body = struct.pack("=BBH", _GET_FAMILY, 1, 0) + attribute
    request = struct.pack("=IHHII", 16 + len(body), _CONTROL_FAMILY, _REQUEST, 1, 0) + body
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _GENERIC_NETLINK) as netlink:
            netlink.settimeout(2.0)
            netlink.send(request)
            (kind,) = struct.unpack_from("=H", netlink.recv(65536), 4)
    except OSError:
        return False
    return int(kind) != _NETLINK_ERROR
