"""Every command of the network client that clouds are used with, one after the other, against a real `suimon serve`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.api.controller import started
from tests.clients.command_line import Client

LINES = Path(__file__).with_name("commands.txt").read_text().splitlines()


def test_every_command(tmp_path: Path) -> None:
    kept: dict[str, str] = {}
    with started(tmp_path / "state", "--log-level", "debug") as controller:
        client = Client(controller)
        made = client.read("network list"), client.read("security group list")
        for line in LINES:
            if not line or line.startswith("#"):
                continue
            refused, name, column, command = re.fullmatch(r"(! )?(?:(\w+)=(\w+) )?(.*)", line).groups()  # type: ignore[union-attr]
            command = command.format(**kept)
            if refused:
                client.refusal(command)
            elif name:
                kept[name] = client.run(f"{command} -f value -c {column}").strip()
            else:
                client.run(command)
        assert (client.read("network list"), client.read("security group list")) == made
        assert not re.search("request_failed|Traceback", controller.log()), controller.log()
