"""python -m engram_local.tools.compare [tables|ram-limit|cache]: side-by-side measurements, with other software where
there is some."""

import argparse
import sys

from engram_local.errors import EngramError
from engram_local.sizes import parse_size


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 it failed (one line on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m engram_local.tools.compare")
    what = parser.add_subparsers(dest="what", required=True)
    tables = what.add_parser("tables", help="table lookups beside other software (the default)")
    limit = what.add_parser("ram-limit", help="a whole model with its tables on disk beside the same in memory")
    what.add_parser("cache", help="which rows a cache should keep: policies on real text")
    for command, size in ((tables, "8GiB"), (limit, "2GiB")):
        command.add_argument("--size", type=parse_size, default=size, help=f"bytes of the generated table ({size})")
        command.add_argument("--folder", help="where it is written (the temporary folder)")
        command.add_argument("--keep", action="store_true", help="leave it there for the next run")
        command.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
        command.add_argument("--json", metavar="FILE", dest="json_file", help="write the figures there")
    tables.add_argument("--plot", metavar="FILE", dest="plot_file", help="draw them there (png, svg, pdf)")
    limit.add_argument("--threads", type=int, help="of the backbone; by default one per core")
    argv = sys.argv[1:] if argv is None else argv
    arguments = vars(parser.parse_args(argv or ["tables"]))
    try:
        match arguments.pop("what"):
            case "tables":
                from engram_local.tools.compare.tables import run
            case "ram-limit":
                from engram_local.tools.compare.ram_limit import run
            case _:
                from engram_local.tools.compare.cache_policies import run
        run(**arguments)
    except EngramError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
