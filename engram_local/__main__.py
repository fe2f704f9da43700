"""python -m engram_local."""

from engram_local.cli import run

run()
