"""Options that commands share, in two groups, and `command`, which makes a verb of a function.

A group is a frozen dataclass whose fields are options. A function that takes `loading: LoadOptions` gets one object;
people see the options.
"""

import copy
import functools
import inspect
import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from engram_local.commands.settings import variable
from engram_local.commands.terminal import say, typed

if TYPE_CHECKING:
    from engram_local.model import Model

ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="The same as MODEL.", metavar="FOLDER", show_default=False)
]
OptionalModel = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="Model folder, or a model's name.", show_default=False)
]
RequiredModel = Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, or a model's name.")]
OutFolder = Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")]
Access = Annotated[
    Literal["auto", "resident", "mmap", "direct"],
    typer.Option("--table-access", help="How table rows are read.", metavar="auto|resident|mmap|direct"),
]
RamLimit = Annotated[str | None, typer.Option(help="Memory that table rows may take: 512M, 8GiB.", metavar="SIZE")]
System = Annotated[
    str | None,
    typer.Option(help="A system message.", metavar="TEXT", parser=typed, envvar=variable("system"), show_envvar=False),
]
TemplateArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--template-arg",
        help="A variable of the chat template, its value as JSON; may be repeated.",
        metavar="NAME=VALUE",
        parser=typed,
    ),
]
Stop = Annotated[
    list[str] | None, typer.Option(help="End at this text; may be repeated.", metavar="TEXT", parser=typed)
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        *("--max-tokens", "--n-predict", "-n"),
        help="Longest answer; by default what the model says (max_new_tokens), or up to the context's end.",
        min=1,
        metavar="N",
        envvar=variable("max_tokens"),
        show_envvar=False,
    ),
]
Lookup = Annotated[
    bool,
    typer.Option(
        "--lookup",
        help="Draft what followed the same words before: faster where an answer quotes what it was given.",
        envvar=variable("lookup"),
        show_envvar=False,
    ),
]
ShowTimings = Annotated[
    bool,
    typer.Option(
        "--timings",
        help="A line behind each answer: tokens, speed, rows looked up, cache hits.",
        envvar=variable("timings"),
        show_envvar=False,
    ),
]
Both = Annotated[
    bool,
    typer.Option("--both", help="Each answer with the memory and without.", envvar=variable("both"), show_envvar=False),
]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
OutputFile = Annotated[str | None, typer.Option("--output", help="Write that object to a file.", metavar="FILE")]
ProgressStyle = Annotated[
    Literal["auto", "json", "none"],
    typer.Option(
        "--progress",
        help="On stderr: a bar where that is a terminal, JSON lines, or nothing.",
        metavar="auto|json|none",
        envvar=variable("progress"),
        show_envvar=False,
    ),
]
Encoding = Annotated[
    Literal["int8", "int4", "fp8", "float16", "float32"],
    typer.Option("--tables", help="Encoding of the rows.", metavar="int8|int4|fp8|float16|float32"),
]
ForeignTable = Annotated[
    str | None,
    typer.Option(
        "--table",
        help="Where the rows lie of an adapter that does not hold them (engine qwen_ple): a link, a GGUF, or a folder "
        "of Qwen3.8-Flash-Next; by default the store that it names. They are read there.",
        metavar="PATH",
    ),
]
Calibrate = Annotated[
    str | None,
    typer.Option(
        help="Measure on this text (its first 65,536 tokens) what the tables' encoding costs: KL divergence of the "
        "next token, perplexity.",
        metavar="TEXTFILE",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")]


def template_variables(args: Sequence[str] | None) -> dict[str, Any]:
    """{name: value} of NAME=VALUE texts; a value that is no JSON is a text. Raises typer.BadParameter."""
    found: dict[str, Any] = {}
    for text in args or ():
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier() or name in ("messages", "add_generation_prompt"):
            raise typer.BadParameter(f"--template-arg {text}: write NAME=VALUE, as in enable_thinking=false")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found


def say_of_system(model: "Model", system: str | None) -> None:
    """Where the chat template has no system message: what becomes of --system."""
    template = model.tokenizer.template
    if system and template is not None and not template.takes_system:
        say("--system: this model's chat template has no system message; the text goes in front of the first message.")


@dataclass(frozen=True)
class SamplingOptions:
    """How to choose a token; None is the model's own setting. The fields of sampling.SamplingParams."""

    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", "--temp", help="0 is greedy; by default the model's own setting.", min=0, metavar="T"
        ),
    ] = None
    top_k: Annotated[
        int | None, typer.Option(help="Draw from the K most likely tokens; 0: all.", min=0, metavar="K")
    ] = None
    top_p: Annotated[
        float | None,
        typer.Option(help="Draw from the most likely tokens that together have P.", min=0, max=1, metavar="P"),
    ] = None
    min_p: Annotated[
        float | None,
        typer.Option(help="Drop tokens less likely than P times the likeliest.", min=0, max=1, metavar="P"),
    ] = None
    repetition_penalty: Annotated[
        float | None,
        typer.Option("--repetition-penalty", "--repeat-penalty", help="Above 1: repeat less.", min=0, metavar="X"),
    ] = None
    seed: Annotated[
        int | None, typer.Option("--seed", "-s", help="The same seed gives the same text.", min=0, metavar="N")
    ] = None

    def for_model(self, model: "Model") -> dict[str, Any]:
        """Fields of SamplingParams: what was typed, else what the model says."""
        return model.sampling(**asdict(self))


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded: the keywords of engram_local.load, as they are typed."""

    backend: Annotated[
        Literal["auto", "onnx", "gguf"],
        typer.Option(help="What runs the backbone; auto: the faster one.", metavar="auto|onnx|gguf"),
    ] = "auto"
    threads: Annotated[
        int | None,
        typer.Option("--threads", "-t", help="Threads of the backbone; by default one per core.", min=1, metavar="N"),
    ] = None
    gpu_layers: Annotated[
        int | None,
        typer.Option(
            *("--gpu-layers", "--n-gpu-layers", "-ngl"),
            help="Blocks on the GPU (gguf, a llama-cpp-python built for it).",
            min=0,
            max=9999,
            metavar="N",
        ),
    ] = None
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Leave the Engram layers out.")] = False
    table_access: Access = "auto"
    ram_limit: RamLimit = None
    context: Annotated[
        int | None,
        typer.Option(
            *("--context", "--ctx", "--ctx-size", "-c"),
            help="Context length in tokens; by default the model's.",
            min=1,
            metavar="N",
        ),
    ] = None
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more on stderr.")] = False

    def load(self, model: str | None, n_slots: int | None = None) -> "Model":
        """Load `model`, None being the pocket model, with room for `n_slots` sequences; with `verbose` say what was
        chosen."""
        from engram_local._native import explain_bus_errors
        from engram_local.model import load

        own = {"n_gpu_layers": self.gpu_layers, "n_sequences": n_slots}
        explain_bus_errors()
        loaded = load(
            model,
            backend=self.backend,
            threads=self.threads,
            memory=not self.no_memory,
            table_access=self.table_access,
            ram_limit=self.ram_limit,
            context_length=self.context,
            verbose=self.verbose,
            **{name: value for name, value in own.items() if value is not None},
        )
        for note in loaded.notes:
            say(note)
        if self.verbose:
            say(f"{loaded.folder.path}: backend {loaded.backend.name} ({loaded.why_backend}), {loaded.threads} threads")
            for layer_id, table in loaded.tables.items():
                say(f"table of layer {layer_id}: access {table.access}: {table.why}")
        return loaded


def command(*, without: Sequence[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: a parameter whose type is a group becomes that group's options but those named in `without`, and
    --debug is added, which shows the traceback of what went wrong. Ctrl-C is one line and exit code 130."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
        parameters = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in groups:
                parameters += [x for x in _options(groups[parameter.name]) if x.name not in without]
            else:
                parameters.append(_keyword(parameter.name, hints[parameter.name], parameter.default))
            if hints[parameter.name] == OptionalModel:
                parameters.append(_keyword("model_option", ModelOption, None))
        parameters.append(_keyword("debug", Debug, False))

        @functools.wraps(function)
        def run(*, debug: bool, **given: Any) -> None:
            for name, group in groups.items():
                given[name] = group(**{f.name: given.pop(f.name) for f in fields(group) if f.name in given})
            named = given.pop("model_option", None)
            if named is not None and given["model"] is not None:
                raise typer.BadParameter(f"MODEL is {given['model']} and --model is {named}; give one of them")
            if named is not None:
                given["model"] = named
            try:
                if "model" in given and given["model"] is not None:
                    from engram_local.model_store import find

                    given["model"] = str(find(given["model"]))
                function(**given)
            except KeyboardInterrupt:
                say("engram-local: interrupted")
                raise typer.Exit(130) from None
            except Exception as error:
                if debug and not isinstance(error, (typer.Exit, typer.BadParameter)):
                    traceback.print_exc()
                raise

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {x.name: x.annotation for x in parameters}
        return run

    return decorate


def names_of(*groups: type) -> dict[str, Any]:
    """{option: default} of groups."""
    return {x.name: x.default for group in groups for x in fields(group)}


def _options(group: type) -> list[inspect.Parameter]:
    """A group's options; each can be set by an environment variable too."""
    parameters = []
    for name, hint in get_type_hints(group, include_extras=True).items():
        info = copy.copy(hint.__metadata__[0])
        info.envvar, info.show_envvar = variable(name), False
        parameters.append(_keyword(name, Annotated[hint.__origin__, info], names_of(group)[name]))
    return parameters


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
