"""What the command line says of the network."""

import pytest

from suimon.cli.network import SettingsError, network_settings

GIVEN = {
    **dict.fromkeys(("physnets", "vlan_ranges", "vni_ranges", "gre_ranges", "geneve_ranges", "quotas"), ""),
    "tenant_network_type": "vxlan",
    "underlay_mtu": 1500,
    "dns_domain": "openstacklocal.",
}


def test_what_is_given() -> None:
    options = {
        "physnets": "public, phys1",
        "vlan_ranges": "phys1:100-199,phys1:300",
        "vni_ranges": "7,10-20",
        "quotas": "port=2000,network=-1",
        "dns_domain": "Cloud.Example",
    }
    options |= {"gre_ranges": "4294967295", "tenant_network_type": "geneve", "underlay_mtu": 9000}
    settings = network_settings({**GIVEN, **options})
    assert settings.vlans == {"public": (), "phys1": ((100, 199), (300, 300))}
    assert (settings.flat, settings.vnis) == (("public", "phys1"), ((7, 7), (10, 20)))
    assert (settings.quotas, settings.dns_domain) == ({"port": 2000, "network": -1}, "cloud.example.")
    assert (settings.gre_keys, settings.tenant_network_type, settings.underlay_mtu) == (
        ((4294967295, 4294967295),),
        "geneve",
        9000,
    )
    assert network_settings(GIVEN).vnis == ((1, 16_777_215),)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("vlan_ranges", "phys1:1-2", "doesn't name"),
        ("vni_ranges", "0-5", "not a range"),
        ("vni_ranges", "9-5", "not a range"),
        ("geneve_ranges", "16777216", "not a range"),
        ("quotas", "prt=5", "knows no 'prt'"),
        ("quotas", "port=-2", "-1 for none"),
        ("quotas", "port=many", "-1 for none"),
        ("dns_domain", "a..b", "--dns-domain"),
    ],
)
def test_what_makes_no_sense(option: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        network_settings({**GIVEN, option: value})
