"""New ids and MAC addresses."""

import secrets
import uuid


def new_id() -> str:
    """A random UUID (RFC 9562, version 4)."""
    return str(uuid.uuid4())


def new_mac(prefix: str) -> str:
    """A random MAC address that starts with `prefix` (`fa:16:3e`). Whoever uses it has to try again at a clash."""
    return prefix + "".join(f":{byte:02x}" for byte in secrets.token_bytes(6 - len(prefix.split(":"))))
