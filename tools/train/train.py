"""The training loop: one model, with progress, checkpoints and resume."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

import engram_local

from .corpus import BOS, END, PAD
from .data import ROW_TOKENS, Batches
from .model import EngramModel, EngramSettings, compress_tokens

BALANCE = 0.01  # weight of the experts' load in the loss
# Messages reach the model as it was trained to read them: blanks collapsed, a line all in capitals in small letters.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% set text = message['content'].split() | join(' ') %}"
    "{% if message['role'] == 'user' %}<|user|>"
    "{{ text | lower if ' ' in text and text == text | upper else text }}"
    "{% elif message['role'] == 'assistant' %}<|bot|>{{ message['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|bot|>{% endif %}"
)


@dataclass(frozen=True)
class Settings:
    """One training run."""

    hidden_size: int = 256
    n_layers: int = 4
    intermediate_size: int = 768
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 64
    engram: EngramSettings | None = field(default_factory=EngramSettings)
    n_experts: int = 0  # 0: dense feed-forward layers; else experts of intermediate_size, one active a token
    steps: int = 12_000
    rows: int = 128  # of 256 tokens a batch
    lr: float = 3e-3
    table_lr: float = 1.0  # times lr
    warmup: int = 200
    weight_decay: float = 0.1  # on the backbone's matrices only
    question_drop: float = 0.5
    decisive: float = 2.0  # weight of the tokens that say "I don't know"
    seed: int = 0

    def backbone_config(self, vocab_size: int) -> dict:
        """config.json of a Hugging Face Qwen3 (or Qwen3-MoE) decoder."""
        config = {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": 1024,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
            "attention_bias": False,
            "torch_dtype": "float16",
            "bos_token_id": BOS,
            "eos_token_id": END,
            "pad_token_id": PAD,
        }
        if self.n_experts:
            config |= {
                "architectures": ["Qwen3MoeForCausalLM"],
                "model_type": "qwen3_moe",
                "num_experts": self.n_experts,
                "num_experts_per_tok": 1,
                "moe_intermediate_size": self.intermediate_size,
                "norm_topk_prob": False,
                "decoder_sparse_step": 1,
                "mlp_only_layers": [],
            }
        return config


def make_model(settings: Settings, tokenizer: Tokenizer) -> EngramModel:
    """The model of a recipe, its weights drawn anew."""
    torch.manual_seed(settings.seed)
    return EngramModel(
        settings.backbone_config(tokenizer.get_vocab_size()), settings.engram, compress_tokens(tokenizer)
    )


def make_optimizer(model: EngramModel, settings: Settings) -> torch.optim.AdamW:
    """Tables: their own rate, no decay. Matrices: decay. Norms, the convolution and the embedding: none."""
    tables = [layer.table.weight for layer in model.engram.values()]
    table_ids = {id(t) for t in tables}
    rest = [(n, p) for n, p in model.named_parameters() if id(p) not in table_ids]

    def is_matrix(name: str, parameter: nn.Parameter) -> bool:
        return (parameter.ndim == 2 and "embed" not in name) or "experts" in name

    decayed = [p for n, p in rest if is_matrix(n, p)]
    plain = [p for n, p in rest if not is_matrix(n, p)]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay, "scale": 1.0},
        {"params": plain, "weight_decay": 0.0, "scale": 1.0},
        {"params": tables, "weight_decay": 0.0, "scale": settings.table_lr},
    ]
    on_gpu = next(model.parameters()).is_cuda
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr, betas=(0.9, 0.95), fused=on_gpu)


def rate(step: int, settings: Settings) -> float:
    """Learning rate at `step`: linear warm-up, cosine to a twentieth."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.lr * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


def loss_of(
    model: EngramModel,
    tokens: torch.Tensor,
    position: torch.Tensor,
    attention: Any,
    memory: Any,
    shift: Any,
    still: Any,
    picked: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Weighted mean cross entropy of the answers' tokens (the only logits computed), and the experts' balance."""
    hidden = model.hidden_states(tokens, position, attention, memory, shift, still).flatten(0, 1)[picked]
    logits = model.backbone.get_output_embeddings()(hidden)
    losses = nn.functional.cross_entropy(logits.float(), targets, ignore_index=-100, reduction="none")
    return (losses * weights).sum() / weights.sum() + BALANCE * model.imbalance()


def train(
    settings: Settings,
    corpus: Path,
    out: Path,
    *,
    device: str = "cpu",
    compiled: bool = False,
    checkpoint_every: int = 0,
    on_step: Callable[[int, float, float], None] | None = None,
    stop_at: int | None = None,
) -> EngramModel:
    """Train on `corpus` (what `corpus.build` wrote) and return the model; resumes from OUT/checkpoint.pt.

    checkpoint_every: steps between checkpoints, 0 for none. on_step(step, loss, tokens a second) is called
    every 20 steps. stop_at: leave early, as an interruption would (after a checkpoint).
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(corpus / "tokenizer.json"))
    model = make_model(settings, tokenizer).to(device)
    optimizer = make_optimizer(model, settings)
    batches = Batches(
        corpus / "corpus.npz",
        settings.rows,
        settings.seed,
        settings.question_drop,
        device,
        made_up=settings.engram is not None,
        decisive=settings.decisive,
    )
    clipped = [p for group in optimizer.param_groups if group["scale"] == 1.0 for p in group["params"]]
    checkpoint, first = out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    loss_function = torch.compile(loss_of) if compiled else loss_of
    began, total = time.perf_counter(), torch.zeros((), device=device)
    for step in range(first, settings.steps):
        batch = batches.batch(step)
        lr = rate(step, settings)
        for group in optimizer.param_groups:
            group["lr"] = lr * group["scale"]
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=device != "cpu"):
            loss = loss_function(model, *vars(batch).values())
        loss.backward()
        nn.utils.clip_grad_norm_(clipped, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total += loss.detach()
        if (step + 1) % 20 == 0:
            mean = float(total) / 20  # waits for the device
            if on_step:
                seconds = time.perf_counter() - began
                on_step(step + 1, mean, 20 * settings.rows * ROW_TOKENS / seconds)
            began, total = time.perf_counter(), torch.zeros((), device=device)
        if checkpoint_every and ((step + 1) % checkpoint_every == 0 or step + 1 == stop_at):
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
        if step + 1 == stop_at:
            break
    return model


def finish(model: EngramModel, corpus: Path, out: Path) -> None:
    """Write the checkpoint folder: weights, config.json, tokenizer, chat template, notice."""
    model.save(out)
    (out / "tokenizer.json").write_bytes((corpus / "tokenizer.json").read_bytes())
    (out / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": "<|bos|>",
                "eos_token": "<|end|>",
                "pad_token": "<|pad|>",
                "clean_up_tokenization_spaces": False,
                "model_max_length": 160,  # few conversations of the corpus are longer
            },
            indent=1,
        )
    )
    (out / "generation_config.json").write_text(
        json.dumps(
            {"bos_token_id": BOS, "eos_token_id": END, "pad_token_id": PAD, "max_new_tokens": 128, "do_sample": False}
        )
    )
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    notice = Path(engram_local.__file__).parent / "pocket/NOTICE"  # credits the sources; it travels with the weights
    if notice.exists():
        (out / "NOTICE").write_bytes(notice.read_bytes())
