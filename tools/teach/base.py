"""The model that is to be taught: a Hugging Face folder, or a GGUF, which is turned into one.

python -m engram_local.tools.teach.base FILE.gguf FOLDER
"""

import argparse
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from engram_local.errors import EngramError
from engram_local.tools.new_folder import new_folder

logging.set_verbosity_error()
logging.disable_progress_bar()


class BaseError(EngramError):
    """A base model that cannot be read."""


def fast_type(device: str) -> torch.dtype:
    """bfloat16 on a GPU and on a CPU that multiplies it (three times as fast as float32), else float32."""
    on_cpu = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device != "cpu" or on_cpu() else torch.float32


def load(folder: Path, device: str, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The frozen causal language model of a Hugging Face folder."""
    if not (Path(folder) / "config.json").is_file():
        raise BaseError(f"{folder}: is no Hugging Face folder; --base takes one (for a GGUF see tools.teach.base)")
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
    except (OSError, ValueError, KeyError) as error:
        raise BaseError(f"{folder}: cannot be loaded: {str(error).splitlines()[0][:160]}") from error
    if not hasattr(model.get_decoder(), "layers"):
        raise BaseError(f"{folder}: a {type(model).__name__} has no list of blocks to put Engram layers before")
    return model.to(device).eval().requires_grad_(False)


def unpack_gguf(gguf: Path, out: Path) -> None:
    """Write the Hugging Face folder `out` from a GGUF: float32 weights (what its numbers mean), tokenizer, config."""
    gguf = Path(gguf)
    if not gguf.is_file():
        raise BaseError(f"{gguf}: no such file")
    where = {"gguf_file": gguf.name}
    with new_folder(out, {"gguf": str(gguf)}) as folder:
        try:
            model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **where)
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **where)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise BaseError(f"{gguf}: transformers cannot read it: {str(error).splitlines()[0][:160]}") from error
        if hasattr(model.config, "quantization_config"):  # it is not quantized any more
            del model.config.quantization_config
        model.is_quantized, model.hf_quantizer = False, None
        model.save_pretrained(folder.path)
        tokenizer.save_pretrained(folder.path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m engram_local.tools.teach.base",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("gguf", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    try:
        unpack_gguf(given.gguf, given.out)
    except EngramError as error:
        sys.exit(f"{error}")
