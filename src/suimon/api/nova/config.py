"""Where Nova is and who we are to it: the section `[nova]` of an INI file, with the keys of Neutron's."""

from __future__ import annotations

from configparser import ConfigParser, Error
from pathlib import Path
from typing import Final

import msgspec

_SECTION: Final = "nova"


class NovaConfigError(Exception):
    """The file can't be used. The message is one sentence for the operator."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Either `auth_url`, a user and a password, by which Keystone gives a token and Nova's address, or `token_file` and
    `endpoint_override`.
    """

    auth_url: str = ""
    username: str = ""
    password: str = ""
    user_domain_name: str = "Default"
    project_name: str = ""
    project_domain_name: str = "Default"
    region_name: str = ""
    endpoint_type: str = "public"
    endpoint_override: str = ""
    token_file: str = ""
    cafile: str = ""
    timeout_s: float = 30.0


def read_config(path: Path) -> Config:
    """Raises NovaConfigError. Other keys and sections are somebody else's."""
    # Without interpolation: passwords contain percent signs.
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        with path.open() as file:
            parser.read_file(file)
        readable = path.stat().st_mode & 0o004
    except (OSError, UnicodeDecodeError, Error) as error:
        raise NovaConfigError(f"Can't read {path} ({error}).") from error
    if not parser.has_section(_SECTION):
        raise NovaConfigError(f"{path} has no section [{_SECTION}].")
    given = {name: value for name, value in parser.items(_SECTION) if name in Config.__struct_fields__}
    try:
        config = msgspec.convert(given, Config, strict=False)
    except msgspec.ValidationError as error:
        raise NovaConfigError(f"In {path}: {error}.") from error
    if config.password and readable:
        raise NovaConfigError(f"Everybody can read the password in {path}: take that right away (chmod o-r).")
    if not (config.token_file and config.endpoint_override) and not (
        config.auth_url and config.username and config.password and config.project_name
    ):
        raise NovaConfigError(
            f"{path} needs auth_url, username, password and project_name, or token_file and endpoint_override."
        )
    return config
