"""python tests/fuzz [SECONDS]: search every target for so long (60), guided by coverage (atheris, Linux and macOS).

The first input that raises anything but an EngramError ends it with a traceback; libFuzzer writes it to crash-*.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))


def fuzz(name: str, seconds: str) -> None:
    """One target in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["engram_local"]):
        from fuzz import targets

        from engram_local.errors import EngramError

    target = getattr(targets, name)

    def one(data: bytes) -> None:
        with suppress(EngramError):
            target(data)

    corpus = tempfile.mkdtemp(dir=targets.HERE)
    (Path(corpus) / "good").write_bytes(targets.SEEDS[target])
    atheris.Setup(["fuzz", corpus, f"-max_total_time={seconds}", "-max_len=16384", "-timeout=10", "-verbosity=0"], one)
    atheris.Fuzz()


def main(seconds: str = "60", name: str | None = None) -> int:
    if name:
        fuzz(name, seconds)  # imports by itself: only what is imported there is instrumented
    from fuzz.targets import SEEDS

    if subprocess.run([sys.executable, Path(__file__).parent / "flips.py"]).returncode:
        return 1
    with tempfile.TemporaryDirectory() as folder:  # libFuzzer ends a process without its own cleaning up
        for target in SEEDS:
            print(f"{target.__name__}: {seconds} s", flush=True)
            command = [sys.executable, __file__, seconds, target.__name__]
            if subprocess.run(command, env=os.environ | {"TMPDIR": folder}).returncode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
