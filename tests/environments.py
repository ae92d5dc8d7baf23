"""Programs of others that tests need, each in an environment of its own under `.tools`, made the first time."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

TOOLS: Final = Path(__file__).resolve().parents[1] / ".tools"


def installed(name: str, requirements: Path) -> Path:
    """Where Python packages of these requirements are (bin/python), made anew when they changed."""
    home = TOOLS / f"{name}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    made = home / "made"
    if not made.exists():
        uv = shutil.which("uv", path=f"{TOOLS / 'bin'}:{os.environ['PATH']}")
        assert uv, f"uv installs {name}: `make test` puts it into .tools"
        print(f"installing {name} into {home}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        quiet = ["--quiet", "--system-certs", "--no-python-downloads"]
        _run(uv, "venv", *quiet, "--python", sys.executable, str(home))
        _run(uv, "pip", "install", *quiet, "--python", str(home / "bin/python"), "-r", str(requirements))
        made.touch()
    return home


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
