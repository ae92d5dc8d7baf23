"""Services over UDP that answer more than they are asked, so that whoever forges the question floods another.

From the list of US-CERT alert TA14-017A, by the port that the service answers from.
"""

from typing import Final

SERVICES: Final = {
    17: "quote of the day",
    19: "chargen",
    53: "DNS",
    69: "TFTP",
    111: "portmapper",
    123: "NTP",
    137: "NetBIOS",
    161: "SNMP",
    389: "CLDAP",
    520: "RIP",
    1900: "SSDP",
    3283: "Apple remote desktop",
    3702: "WS-Discovery",
    5353: "mDNS",
    5683: "CoAP",
    11211: "memcached",
    27015: "Steam",
}
