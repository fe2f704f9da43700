"""Settings that stand for options: environment variables ENGRAM_LOCAL_*, and one TOML file. What is typed counts first.

The file lies in the user's configuration folder; ENGRAM_LOCAL_CONFIG names another:

    temperature = 0.7      # any option that generate or chat takes, spelled as the option is
    threads = 4
    [chat]                 # for one verb alone
    system = "Be short."
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engram_local.errors import UsageError
from engram_local.machine import user_folder

PREFIX = "ENGRAM_LOCAL_"


def variable(name: str) -> str:
    """The environment variable of an option. Example: variable("top_k") -> "ENGRAM_LOCAL_TOP_K"."""
    return PREFIX + name.upper()


def config_file() -> Path:
    """Where the file is looked for."""
    if named := os.environ.get(variable("config")):
        return Path(named)
    return user_folder("XDG_CONFIG_HOME", "APPDATA", ".config") / "config.toml"


def read_settings(verbs: Mapping[str, set[str]]) -> dict[str, dict[str, Any]]:
    """{verb: {option: value}} of the file, empty where there is none.

    Parameters: verbs: {verb: names of its options}. Raises UsageError naming the file, and the key that no verb has.
    """
    path = config_file()
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        if os.environ.get(variable("config")):
            raise UsageError(f"{path}: no such file; {variable('config')} names it") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    import tomllib

    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: is not TOML ({error}); correct it") from error
    common = {_name(k): v for k, v in content.items() if not isinstance(v, dict)}
    unknown = [k for k in common if not any(k in names for names in verbs.values())]
    for verb, table in content.items():
        if isinstance(table, dict):
            unknown += [f"[{verb}] {k}" for k in table if _name(k) not in verbs.get(verb, ())]
    if unknown:
        raise UsageError(f"{path}: no option is called {unknown[0]}; engram-local config lists them")
    return {
        verb: {k: v for k, v in common.items() if k in names} | {_name(k): v for k, v in content.get(verb, {}).items()}
        for verb, names in verbs.items()
    }


def _name(key: str) -> str:
    return key.replace("-", "_")
