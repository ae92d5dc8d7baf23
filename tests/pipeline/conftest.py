"""`pytest tests/pipeline --rewrite-scenarios` writes what came out into the scenario files; read the diff."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-scenarios", action="store_true", help="make what came out what is expected")
