"""The options about who is let in."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.api.controller import started


def test_what_a_guess_costs_is_the_operators_choice(tmp_path: Path) -> None:
    with started(tmp_path / "state", "--password-cost", "11"):
        pass
    with closing(sqlite3.connect(tmp_path / "state/suimon.db")) as database:
        (stored,) = database.execute("select password_hash from users where name = 'admin'").fetchone()
    assert stored.startswith("scrypt$11$8$1$")
