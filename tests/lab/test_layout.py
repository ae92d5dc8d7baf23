"""Names and addresses of a lab, and which namespaces are its own."""

import pytest

from suimon.lab.error import LabError
from suimon.lab.layout import LabConfig, Layout


@pytest.mark.parametrize("name", ["", "Lab", "a-b", "9lab", "tenletters", "a/b", "ü"])
def test_a_name_that_does_not_fit_an_interface_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="Lab name"):
        LabConfig(name=name).checked()


@pytest.mark.parametrize("wrong", [{"hosts": 0}, {"hosts": 21}, {"number": 256}, {"number": -1}, {"api_port": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(LabError):
        LabConfig(**wrong).checked()


def test_the_longest_name_still_fits_an_interface() -> None:
    assert len(Layout(LabConfig(name="ninechars").checked()).root_link) <= 15


def test_two_labs_share_no_address_and_no_namespace() -> None:
    one, two = Layout(LabConfig()), Layout(LabConfig(name="other", number=1))
    assert not one.management.overlaps(two.management) and not one.tunnels.overlaps(two.tunnels)
    assert not any(one.owns_namespace(host.namespace) for host in two.hosts)


def test_addresses_of_the_hosts_are_in_their_networks() -> None:
    layout = Layout(LabConfig(hosts=20, number=255))
    assert len({host.management_ip for host in layout.hosts} | {layout.controller_ip}) == 21
    assert [host.tunnel_ip for host in layout.hosts][:2] == ["172.31.255.11", "172.31.255.12"]


@pytest.mark.parametrize(
    ("namespace", "own"),
    [
        ("suimon-hv1", True),
        ("suimon-hv12", True),
        ("suimon-vm-web", True),
        ("suimon-fabric", True),
        ("suimon-internet", True),
        ("suimon", False),
        ("suimon-backup", False),
        ("suimon-hv1-mine", False),
        ("mysuimon-hv1", False),
    ],
)
def test_only_its_own_namespaces_are_a_labs(namespace: str, own: bool) -> None:
    assert Layout(LabConfig()).owns_namespace(namespace) is own


def test_an_unknown_hypervisor_is_named_beside_the_known() -> None:
    with pytest.raises(LabError, match="no hypervisor 'hv9'; it has hv1, hv2, hv3"):
        Layout(LabConfig()).host("hv9")
