"""Where the store lies when the caller does not say."""

from collections.abc import Mapping
import os
from pathlib import Path
import sys

from runicorn_es.errors import Rejected

VARIABLE = "RUNICORN_DIR"
_APPLICATION = "runicorn-es"


def storage_root(storage: str | os.PathLike[str] | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the root of the store: what is given, else ``$RUNICORN_DIR``, else what the user's ``config.toml`` says
    (``storage = "…"``), else the platform's folder for user data.

    Raises Rejected when the configuration cannot be read.
    """
    if storage is not None:
        return Path(storage).expanduser()
    if chosen := environment.get(VARIABLE):
        return Path(chosen).expanduser()
    config = config_file(environment)
    try:
        text = config.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return _user_folder(environment, "XDG_DATA_HOME", ".local/share") / _APPLICATION
    except UnicodeDecodeError as error:
        raise _unreadable(config, error) from error
    # Five milliseconds to import, and few have such a file.
    import tomllib  # noqa: PLC0415

    try:
        configured = tomllib.loads(text).get("storage")
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(config, error) from error
    if configured is None:
        return _user_folder(environment, "XDG_DATA_HOME", ".local/share") / _APPLICATION
    if not isinstance(configured, str):
        raise Rejected(f"storage in {config} must be a text, not {configured!r}")
    return Path(configured).expanduser()


def _unreadable(config: Path, error: ValueError) -> Rejected:
    return Rejected(f'{config} cannot be read: {error}; it should hold a line such as storage = "/data/store"')


def config_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the user's configuration file, which need not exist."""
    return _user_folder(environment, "XDG_CONFIG_HOME", ".config") / _APPLICATION / "config.toml"


def _user_folder(environment: Mapping[str, str], variable: str, default: str) -> Path:
    """Return a folder of the user's by the XDG Base Directory Specification, or its counterpart on macOS."""
    if chosen := environment.get(variable):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path.home() / default
