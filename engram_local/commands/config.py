"""engram-local config."""

import os
from typing import Annotated, Any

import typer

from engram_local.commands.options import JsonOutput, LoadOptions, SamplingOptions, command, names_of
from engram_local.commands.settings import config_file, read_settings, variable
from engram_local.commands.terminal import show, show_json

Verb = Annotated[str, typer.Option(help="For this command.", metavar="chat|generate|bench")]


@command()
def config(verb: Verb = "chat", json_output: JsonOutput = False) -> None:
    """Show which settings are in force, and from where.

    A setting is an option that is not typed: an environment variable
    (ENGRAM_LOCAL_THREADS=4) or a line of the configuration file
    (threads = 4), in this order.

    \b
    Examples:
      engram-local config
      engram-local config --verb generate --json
    """
    from engram_local.cli import options_of_verbs

    verbs = options_of_verbs()
    if verb not in verbs:
        raise typer.BadParameter(f"no command {verb}")
    own = {"system": None, "max_tokens": None, "lookup": False, "both": False, "timings": False, "progress": "auto"}
    names = own | names_of(SamplingOptions, LoadOptions)
    names = {k: v for k, v in names.items() if k in verbs[verb]}
    in_file = read_settings(verbs).get(verb, {})
    rows: dict[str, dict[str, Any]] = {}
    for name, default in names.items():
        if variable(name) in os.environ:
            rows[name] = {"value": os.environ[variable(name)], "from": variable(name)}
        elif name in in_file:
            rows[name] = {"value": in_file[name], "from": str(config_file())}
        else:
            rows[name] = {"value": default, "from": "default"}
    if json_output:
        show_json({"file": str(config_file()), "settings": rows})
        return
    show(f"{config_file()}{'' if config_file().exists() else ' (not there)'}")
    for name, row in rows.items():
        value = "model's own" if row["value"] is None else row["value"]
        show(f"{name.replace('_', '-'):<20}{value!s:<16}{row['from']}")
