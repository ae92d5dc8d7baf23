"""By which address collectors know a host that exports."""

from pathlib import Path

import click
import pytest

from suimon.agent.saved import HostIdentity
from suimon.cli.agent import Options, _export

HOST = HostIdentity("h1", "http://192.0.2.1:9697", "c", "s", tunnel_ip="198.51.100.7")


@pytest.mark.parametrize(
    ("collector", "agent"),
    [
        pytest.param("127.0.0.9:6343", "127.0.0.1", id="that from which it sends, not its tunnels'"),
        pytest.param("255.255.255.255:6343", "198.51.100.7", id="its tunnels', when it can't be told"),
    ],
)
def test_a_collector_knows_a_host_by_where_records_come_from(collector: str, agent: str) -> None:
    made = _export(Options(Path(), Path(), {}, export_to=collector), HOST)
    assert made and (made.collector, made.agent) == (collector, agent)


@pytest.mark.parametrize("collector", ["flows.example:6343", "::1:6343", "192.0.2.9", "192.0.2.9:0"])
def test_a_collector_that_is_no_address_is_refused(collector: str) -> None:
    with pytest.raises(click.ClickException, match="say IP:PORT"):
        _export(Options(Path(), Path(), {}, export_to=collector), HOST)
