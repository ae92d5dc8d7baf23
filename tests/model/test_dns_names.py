"""Names of the DNS."""

import pytest

from suimon.model import dns_names
from suimon.model.checks import Unfit


@pytest.mark.parametrize(
    ("given", "kept"),
    [("", ""), ("Test.Org.", "test.org."), ("a-1.b.", "a-1.b."), ("1.", "1."), (f"{'a' * 63}.", f"{'a' * 63}.")],
)
def test_domains(given: str, kept: str) -> None:
    assert dns_names.domain(given) == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (7, "'7' is not a valid string"),
        ("test.org", "'test.org' is not a FQDN"),
        ("a..b.", "Encountered an empty component"),
        (".", "Encountered an empty component"),
        ("-a.", "Name '-a' must not start or end with a hyphen"),
        ("a-.", "Name 'a-' must not start or end with a hyphen"),
        ("a_b.", "Name 'a_b' must be 1-63 characters long"),
        (f"{'a' * 64}.", "must be 1-63 characters long"),
        ("a.1.", "TLD '1' must not be all numeric"),
        ("a." * 127, "contains 254 characters."),
    ],
)
def test_impossible_domains(given: object, words: str) -> None:
    with pytest.raises(Unfit) as caught:
        dns_names.domain(given)
    assert words in str(caught.value)
