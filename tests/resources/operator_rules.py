"""An operator's policy.yaml in place of the defaults, for one test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from suimon.resources import persona
from suimon.resources.persona import RULES, replace_rules
from suimon.resources.policy_file import read_rules
from suimon.resources.registry import RESOURCES

Put = Callable[[str], None]


@contextmanager
def operator_rules(folder: Path) -> Iterator[Put]:
    """Puts such a file in place; afterwards all rules are as before."""
    before, specs = dict(RULES), [resource.spec for resource in RESOURCES.values()]

    def forget() -> None:
        # What specs remember of the rules: outside of tests they don't change.
        for spec in specs:
            spec.__dict__.pop("_visible", None)

    def put(text: str) -> None:
        path = folder / "policy.yaml"
        path.write_text(text)
        replace_rules(read_rules(path, specs))
        forget()

    try:
        yield put
    finally:
        RULES.clear()
        RULES.update(before)
        persona._REPLACED.clear()
        forget()
