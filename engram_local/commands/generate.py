"""engram-local generate."""

import sys
from typing import Annotated, Any

import typer

from engram_local.commands.options import (
    LoadOptions,
    Lookup,
    MaxTokens,
    OptionalModel,
    SamplingOptions,
    ShowTimings,
    Stop,
    System,
    TemplateArgs,
    command,
    say_of_system,
    template_variables,
)
from engram_local.commands.terminal import say, show, show_json, typed
from engram_local.errors import UsageError

MOST_CHARACTERS = 1 << 28  # of stdin: no context is as long


@command()
def generate(
    model: OptionalModel = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", help="The text; left out, stdin is read.", metavar="TEXT", parser=typed),
    ] = None,
    prompt_file: Annotated[
        str | None, typer.Option("--prompt-file", "-f", help="Read the text from there.", metavar="FILE")
    ] = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Continue the text itself, without the chat template; control tokens in it count."),
    ] = False,
    system: System = None,
    template_arg: TemplateArgs = None,
    stop: Stop = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with text, tokens, speeds.")
    ] = False,
    max_tokens: MaxTokens = None,
    lookup: Lookup = False,
    timings: ShowTimings = False,
    *,
    sampling: SamplingOptions,
    loading: LoadOptions,
) -> None:
    """Answer one prompt and leave.

    \b
    Examples:
      engram-local generate --prompt 'What is the capital of France?'
      engram-local generate my-model --raw --prompt 'Once upon a time' --max-tokens 40 --temperature 0.8 --seed 1
      echo 'What is the capital of France?' | engram-local generate --json
    """
    from engram_local import generation
    from engram_local.commands.timings import Timings

    if prompt_file is not None:
        if prompt is not None:
            raise typer.BadParameter("--prompt and --prompt-file exclude each other")
        prompt = _read(prompt_file)
    if prompt is None:
        if sys.stdin.isatty():
            raise typer.BadParameter("give --prompt TEXT, or the text on stdin")
        prompt = sys.stdin.read(MOST_CHARACTERS).strip()
    if raw and system:
        raise typer.BadParameter("--system needs the chat template, --raw leaves it out")
    variables = template_variables(template_arg)
    if not prompt:
        raise UsageError("the prompt is empty; give --prompt TEXT, or the text on stdin")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}] if system else prompt
    with loading.load(model) as loaded:
        steps = []
        chosen = sampling.for_model(loaded)
        say_of_system(loaded, system)
        ids = loaded.prompt_ids(messages, raw, **variables)
        template = loaded.tokenizer.template
        max_tokens = max_tokens or loaded.folder.max_new_tokens
        thoughts = not raw and template is not None and template.knows_thoughts
        options: dict[str, Any] = {"max_tokens": max_tokens, "stop": stop or (), "thoughts": thoughts, "lookup": lookup}
        watched = Timings(loaded)
        try:
            for step in watched.watch(generation.generate(loaded.session(), ids, **options, **chosen)):
                steps.append(step)
                if not json_output:
                    show(step.text, end="")
        except KeyboardInterrupt:
            if steps and not json_output:
                show()
            raise
        last = steps[-1]
        if json_output:
            show_json(
                {
                    "text": "".join(x.text for x in steps),
                    **({"thought": "".join(x.thought for x in steps)} if thoughts else {}),
                    "token_ids": [x.token_id for x in steps],
                    "finish_reason": last.finish_reason,
                    "n_prompt": last.n_prompt,
                    "n_generated": last.n_generated,
                    "n_drafted": last.n_drafted,
                    "prompt_tok_s": round(last.prompt_tok_s, 2),
                    "decode_tok_s": round(last.decode_tok_s, 2),
                    "first_token_s": round(watched.first_token_s, 6),
                    "rows_read": watched.rows_read,
                    "cache_hits": watched.cache_hits if watched.cached else None,
                    "memory": not loading.no_memory,
                    "backend": loaded.backend.name,
                    "model": str(loaded.folder.path),
                }
            )
        else:
            show()
        if timings:
            say(watched.line())
        if loading.verbose:
            speeds = f"{last.prompt_tok_s:.1f} tok/s; {last.n_generated} tokens, {last.decode_tok_s:.1f} tok/s"
            say(f"prompt {last.n_prompt} tokens, {speeds}; ended by {last.finish_reason}")


def _read(path: str) -> str:
    """The text of a file, as far as any context could hold it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(MOST_CHARACTERS).strip()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
