"""python tests/fuzz/flips.py [N]: N (1,000) times, flip one bit of a backbone, let the manifest agree, and verify.

Whatever the runtime does, verify goes on and says what it found. Seeds are fixed.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from test_flipped_bits import flip
from tiny_gguf import make_tiny_gguf
from tiny_model import make_tiny_model

from engram_local.model_folder import write_manifest
from engram_local.verification import verify


def main(n: str = "1000") -> int:
    counts = {"loads": 0, "refused": 0, "crashed": 0}
    with tempfile.TemporaryDirectory() as parent:
        folders = {
            "backbone.onnx": make_tiny_model(Path(parent) / "onnx"),
            "backbone.gguf": make_tiny_gguf(Path(parent) / "gguf"),
        }
        good = {name: (folder / name).read_bytes() for name, folder in folders.items()}
        for seed in range(int(n)):
            name, folder = list(folders.items())[seed % 2]
            (folder / name).write_bytes(good[name])
            flip(folder / name, seed)
            write_manifest(folder)
            found = [x for x in verify(folder) if x.file == name][-1]
            counts["loads" if found.ok else "crashed" if "crashed" in found.text else "refused"] += 1
    print(counts)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
