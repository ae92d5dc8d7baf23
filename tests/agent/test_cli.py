"""The commands of a hypervisor: what they refuse, in one sentence each."""

import os

import pytest
from click.testing import CliRunner

from suimon.agent.saved import HostIdentity, StateDirectory
from suimon.cli import main
from tests.agent.fake_controller import CREDENTIAL, TOKEN


def suimon(*arguments, stdin=""):
    result = CliRunner().invoke(main, [*map(str, arguments)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_join_keeps_the_credential_for_root_alone_and_shows_it_to_nobody(fake, tmp_path):
    state = tmp_path / "state"
    where = ("--host", "h1", "--tunnel-ip", "192.0.2.1", "--physnet", "public", "--physnet", "private")
    code, output = suimon("join", fake.url, *where, "--state", state, stdin=f"{TOKEN}\n")
    assert code == 0
    assert CREDENTIAL not in output
    told = StateDirectory(state).host.load()
    assert told == HostIdentity("h1", fake.url, CREDENTIAL, "store-1", "192.0.2.1", ("public", "private"))
    assert (state / "host.json").stat().st_mode & 0o777 == 0o600


def test_join_takes_the_token_from_a_file(fake, tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    code, _ = suimon(
        "join", fake.url, "--host", "h1", "--token-file", tmp_path / "token", "--state", tmp_path / "state"
    )
    assert code == 0


def test_a_join_that_fails_says_why_and_leaves_no_credential(fake, tmp_path):
    state = tmp_path / "state"
    join = ("join", fake.url, "--host", "h1", "--state", state)
    for stdin, words in (("old\n", "not valid any more"), ("", "the token is empty")):
        code, output = suimon(*join, stdin=stdin)
        assert (code, words in output) == (1, True), output
    code, output = suimon(*join, "--token-file", tmp_path / "missing")
    assert (code, "can't read the token file" in output) == (1, True)
    code, output = suimon("join", "http://127.0.0.1:1", "--host", "h1", "--state", state, stdin="x\n")
    assert (code, "127.0.0.1:1" in output) == (1, True)
    assert not (state / "host.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="says only that it needs root")
def test_an_agent_that_cannot_run_says_why(tmp_path):
    state = StateDirectory(tmp_path / "state")
    code, output = suimon("agent", "--state", state.path)
    assert (code, "has not joined" in output) == (1, True)
    state.host.save(HostIdentity("h1", "http://127.0.0.1:1", CREDENTIAL, "s", None, ("public",)), durable=False)
    for uplink, words in (("public", "say PHYSNET=DEVICE"), ("other=eth1", "joined without other")):
        code, output = suimon("agent", "--state", state.path, "--uplink", uplink)
        assert (code, words in output) == (1, True), output


def test_an_agent_refuses_to_run_without_root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    code, output = suimon("agent", "--state", tmp_path)
    assert (code, "must run as root" in output) == (1, True)


@pytest.mark.parametrize("command", ["accept", "status"])
def test_asking_an_agent_that_does_not_run_says_so(tmp_path, command):
    for arguments in (("agent", "--state", tmp_path, command), ("agent", command, "--state", tmp_path)):
        code, output = suimon(*arguments)
        assert (code, f"no agent answers at {tmp_path}/control.sock" in output) == (1, True), output


def test_flows_of_a_machine_that_never_joined_says_so(tmp_path):
    code, output = suimon("flows", "--state", tmp_path)
    assert (code, "has not joined" in output) == (1, True)
