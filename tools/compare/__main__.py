"""python -m engram_local.tools.compare tables: side-by-side measurements against other software."""

import argparse
import sys

from engram_local.errors import EngramError
from engram_local.sizes import parse_size
from engram_local.tools.compare import tables


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engram_local.tools.compare", description=__doc__.split(": ")[1])
    what = parser.add_subparsers(dest="what", required=True)
    command = what.add_parser("tables", help=tables.__doc__.splitlines()[0])
    command.add_argument("--size", type=parse_size, default="8GiB", help="bytes of the generated table (8GiB)")
    command.add_argument("--folder", help="where it is written, and as much again for EngramDB (the temporary folder)")
    command.add_argument("--keep", action="store_true", help="leave it there for the next run")
    command.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    command.add_argument("--json", metavar="FILE", help="write the figures there")
    command.add_argument("--plot", metavar="FILE", help="draw them there (png, svg, pdf)")
    argv = sys.argv[1:] if argv is None else argv
    arguments = vars(parser.parse_args(argv or ["tables"]))
    arguments.pop("what")
    try:
        tables.run(
            **{"json_file" if k == "json" else "plot_file" if k == "plot" else k: v for k, v in arguments.items()}
        )
    except EngramError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
