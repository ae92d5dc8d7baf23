"""The information elements that we read (IANA's IPFIX registry; NetFlow v9 has the same numbers below 128).

Total counters (85, 86 …) are not among them: they belong to the exporter's life, so nobody may add them up. What we
read of an enterprise is nothing: its elements are skipped by their length.
"""

from typing import Final

NAMES: Final[dict[int, str]] = {
    1: "bytes",
    2: "packets",
    4: "protocol",
    6: "tcp_flags",
    7: "source_port",
    8: "source_ip4",
    10: "input",
    11: "destination_port",
    12: "destination_ip4",
    14: "output",
    21: "ended_uptime_ms",
    22: "begun_uptime_ms",
    23: "post_bytes",
    24: "post_packets",
    27: "source_ip6",
    28: "destination_ip6",
    32: "icmp4",
    34: "sampling_interval",
    48: "sampler",
    50: "sampler_interval",
    56: "source_mac",
    60: "ip_version",
    61: "flow_direction",
    80: "destination_mac",
    139: "icmp6",
    150: "begun_s",
    151: "ended_s",
    152: "begun_ms",
    153: "ended_ms",
    154: "begun_us",
    155: "ended_us",
    156: "begun_ns",
    157: "ended_ns",
    158: "begun_ago_us",
    159: "ended_ago_us",
    160: "booted_ms",
    176: "icmp4_type",
    177: "icmp4_code",
    178: "icmp6_type",
    179: "icmp6_code",
    180: "source_port",
    181: "destination_port",
    182: "source_port",
    183: "destination_port",
    252: "input",
    253: "output",
    302: "selector",
    305: "sampled_packets",
    306: "skipped_packets",
    322: "observed_s",
    323: "observed_ms",
    352: "layer2_bytes",
}
"""A name that comes twice in a template is read where it comes first."""
LENGTHS: Final = {
    **dict.fromkeys(("source_ip4", "destination_ip4"), 4),
    **dict.fromkeys(("source_ip6", "destination_ip6"), 16),
    **dict.fromkeys(("source_mac", "destination_mac"), 6),
}
"""Those that are no numbers, and so can't be shortened (RFC 7011, section 6.2)."""
LONGEST_NUMBER: Final = 8
TAKEN: Final = ("input", "output", "source_port", "destination_port", "protocol", "tcp_flags")
"""Which are in a record as they are."""
COUNTS: Final = {
    "packets": ("packets", "post_packets"),
    "bytes": ("bytes", "post_bytes", "layer2_bytes"),
}
"""The first that is there: what was seen, else what was sent on."""
