"""The reference model: Engram layers in a Hugging Face decoder, written to be read.

An Engram layer stands before block k of the decoder. For every position it hashes the last n tokens to
rows of a table, gates what it read by how well it fits the hidden state, smooths it over time, and adds
it to the hidden state (arXiv 2601.07372). The hashing sees token ids only.

    last n tokens --compress, multiply, XOR, mod prime--> row ids --> e (E,)        lookup
    key = W_K e,  s = <norm_k(key), norm_q(h)> / sqrt(d)
    gate = sigmoid(sign(s) * sqrt(max(|s|, 1e-6))),  v = gate * W_V e               gate
    y = v + SiLU(conv(norm_c(v)))                                                   smooth
    h <- h + y                                                                      add

Any Hugging Face decoder whose blocks are `model.layers` works: the layer is attached by a forward hook.
"""

import json
import math
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from types import MethodType

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from tokenizers import Regex, Tokenizer, normalizers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

SHARD_BYTES = 15 * 2**20


@dataclass(frozen=True)
class EngramSettings:
    """Where the layers stand and how large their tables are."""

    layer_ids: tuple[int, ...] = (1, 2)
    ngram_sizes: tuple[int, ...] = (2, 3, 4, 5)
    n_heads: int = 2  # of each order
    head_dim: int = 64
    rows: int = 21_000  # of each head, about: the primes above it
    seed: int = 0
    kernel_size: int = 4
    dilation: int = 4
    norm_eps: float = 1e-6

    @property
    def width(self) -> int:
        """Numbers that one token's rows hold together."""
        return len(self.ngram_sizes) * self.n_heads * self.head_dim


@dataclass(frozen=True)
class Hashing:
    """The numbers that turn one layer's n-grams into row ids."""

    multipliers: tuple[int, ...]  # (largest order,): multiplier k meets the token k places back
    primes: tuple[int, ...]  # (orders * heads,): rows of each head, order-major
    offsets: tuple[int, ...]  # (orders * heads,): first row of each head

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return self.offsets[-1] + self.primes[-1]


def is_prime(n: int) -> bool:
    """Whether n is a prime."""
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))


def plan_hashing(settings: EngramSettings, n_compressed: int) -> dict[int, Hashing]:
    """Multipliers, primes and offsets of every layer: drawn from the seed, no prime used twice.

    n_compressed: number of compressed token ids; it bounds the multipliers so that products fit into int64.
    """
    taken: set[int] = set()
    plan = {}
    for layer in settings.layer_ids:
        bound = max(1, (2**63 - 1) // n_compressed // 2)
        draws = np.random.default_rng(settings.seed + 10007 * layer).integers(
            0, bound, max(settings.ngram_sizes), np.int64
        )
        primes: list[int] = []
        for _ in settings.ngram_sizes:
            last = settings.rows - 1
            for _ in range(settings.n_heads):
                last = next(p for p in count(last + 1) if is_prime(p) and p not in taken)
                taken.add(last)
                primes.append(last)
        offsets = [0, *np.cumsum(primes)[:-1].tolist()]
        plan[layer] = Hashing(tuple(int(2 * r + 1) for r in draws), tuple(primes), tuple(offsets))
    return plan


def row_ids(
    compressed: Tensor, position: Tensor, hashing: Hashing, ngram_sizes: tuple[int, ...], pad_id: int
) -> Tensor:
    """Rows that every token reads.

    compressed: int64 (B, T), compressed token ids; position: int64 (B, T), place in the token's own document
    (tokens before the document's start count as pad). Returns int64 (B, T, orders * heads).
    """
    n_heads = len(hashing.primes) // len(ngram_sizes)
    mixed, mix = {}, torch.zeros_like(compressed)
    for k, multiplier in enumerate(hashing.multipliers):
        before = torch.roll(compressed, k, dims=1) if k else compressed
        before = torch.where(position >= k, before, pad_id)
        mix = mix ^ before * multiplier
        mixed[k + 1] = mix
    primes = torch.tensor(hashing.primes, device=compressed.device)
    offsets = torch.tensor(hashing.offsets, device=compressed.device)
    mixes = torch.stack([mixed[n] for n in ngram_sizes for _ in range(n_heads)], dim=-1)
    return mixes % primes + offsets


def compress_tokens(tokenizer: Tokenizer) -> np.ndarray:
    """int32 (vocab,): token id -> compressed id, shared by tokens that differ only in case, accents or spaces."""
    sentinel = "\ue000"
    normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.NFD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[ \t\r\n]+"), " "),
            normalizers.Replace(Regex(r"^ $"), sentinel),
            normalizers.Strip(),
            normalizers.Replace(sentinel, " "),
        ]
    )
    numbers: dict[str, int] = {}
    compressed = np.zeros(tokenizer.get_vocab_size(), np.int32)
    for token in range(len(compressed)):
        text = tokenizer.decode([token], skip_special_tokens=False)
        key = tokenizer.id_to_token(token) if "\ufffd" in text else normalizer.normalize_str(text) or text
        compressed[token] = numbers.setdefault(key, len(numbers))
    return compressed


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class EngramLayer(nn.Module):
    """One table with its gate, projections and short convolution."""

    def __init__(self, settings: EngramSettings, hashing: Hashing, hidden_size: int):
        super().__init__()
        self.settings = settings
        self.table = nn.Embedding(hashing.n_rows, settings.head_dim)
        self.key_proj = nn.Linear(settings.width, hidden_size, bias=False)
        self.value_proj = nn.Linear(settings.width, hidden_size, bias=False)
        self.norm_key = RMSNorm(hidden_size, settings.norm_eps)
        self.norm_query = RMSNorm(hidden_size, settings.norm_eps)
        self.norm_conv = RMSNorm(hidden_size, settings.norm_eps)
        self.conv = nn.Conv1d(hidden_size, hidden_size, settings.kernel_size, groups=hidden_size, bias=False)
        nn.init.normal_(self.table.weight, std=0.02)
        nn.init.normal_(self.key_proj.weight, std=0.02)
        nn.init.normal_(self.value_proj.weight, std=0.02)
        nn.init.zeros_(self.conv.weight)  # starts as y = v

    def forward(
        self,
        hidden: Tensor,
        rows: Tensor,
        position: Tensor,
        memory: Tensor | None = None,
        still: Tensor | None = None,
    ) -> Tensor:
        """What is added to the hidden state.

        hidden (B, T, d); rows int64 (B, T, heads); position int64 (B, T), place in the document: the
        convolution does not look past its start; memory bool (B, T): where False, nothing is added; still bool
        (B, T): where True, the rows that are read get no gradient. Returns (B, T, d).
        """
        looked_up = self.table(rows).flatten(-2)  # (B, T, E)
        if still is not None:
            looked_up = torch.where(still.unsqueeze(-1), looked_up.detach(), looked_up)
        key = self.norm_key(self.key_proj(looked_up))
        s = (key * self.norm_query(hidden)).sum(-1, keepdim=True) / math.sqrt(hidden.shape[-1])
        gate = torch.sigmoid(s.sign() * s.abs().clamp_min(1e-6).sqrt())
        v = gate * self.value_proj(looked_up)
        if memory is not None:
            v = v * memory.unsqueeze(-1)
        y = v + nn.functional.silu(self._convolve(self.norm_conv(v), position))
        return y if memory is None else y * memory.unsqueeze(-1)

    def _convolve(self, x: Tensor, position: Tensor) -> Tensor:
        """Causal, depthwise, dilated: tap k reads the value (kernel - 1 - k) * dilation places back."""
        out = torch.zeros_like(x)
        for tap in range(self.settings.kernel_size):
            lag = (self.settings.kernel_size - 1 - tap) * self.settings.dilation
            before = torch.roll(x, lag, dims=1) if lag else x
            out = out + before * (position >= lag).unsqueeze(-1) * self.conv.weight[:, 0, tap]
        return out


def all_experts(experts: nn.Module, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """What Qwen3-MoE's experts give, from two products over all of them at once; for small experts on a GPU.

    hidden (N, d); chosen int64 (N, k), experts of a token; weights (N, k). Returns (N, d). The experts that were
    not chosen are computed and multiplied by 0.
    """
    n, width = experts.num_experts, experts.down_proj.shape[-1]
    share = torch.zeros(len(hidden), n, dtype=weights.dtype, device=hidden.device).scatter(1, chosen, weights)
    gate, up = nn.functional.linear(hidden, experts.gate_up_proj.flatten(0, 1)).view(-1, n, 2, width).unbind(2)
    inner = nn.functional.silu(gate) * up * share.unsqueeze(-1)
    return nn.functional.linear(inner.flatten(1), experts.down_proj.transpose(0, 1).flatten(1)).to(hidden.dtype)


class EngramModel(nn.Module):
    """A Hugging Face decoder with Engram layers; with `engram` None, the decoder alone."""

    def __init__(self, backbone_config: dict, engram: EngramSettings | None, token_map: np.ndarray):
        """backbone_config: config.json of a Hugging Face decoder ("model_type" and so on);
        token_map: int32 (vocab,), from `compress_tokens`."""
        super().__init__()
        config = AutoConfig.for_model(**backbone_config)
        self.backbone = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
        self.backbone_config = backbone_config
        self.settings = engram
        self.register_buffer("token_map", torch.from_numpy(token_map.astype(np.int64)), persistent=False)
        self.n_compressed = int(token_map.max()) + 1
        self.pad_id = int(token_map[backbone_config["pad_token_id"]])
        self.engram = nn.ModuleDict()
        self.hashing: dict[int, Hashing] = {}
        self._inputs: dict[int, tuple] = {}  # what the hooks need during one forward pass
        self._routed: list[Tensor] = []  # routers' logits of the last forward pass (a backbone with experts)
        for block in self.backbone.get_decoder().layers:
            if hasattr(block.mlp, "gate"):
                block.mlp.gate.register_forward_hook(
                    lambda gate, args, _: self._routed.append(nn.functional.linear(args[0], gate.weight))
                )
                block.mlp.experts.forward = MethodType(all_experts, block.mlp.experts)
        if engram is not None:
            self.hashing = plan_hashing(engram, int(token_map.max()) + 1)
            for layer, hashing in self.hashing.items():
                self.engram[str(layer)] = EngramLayer(engram, hashing, config.hidden_size)
                block = self.backbone.get_decoder().layers[layer]
                block.register_forward_pre_hook(lambda _, args, layer=layer: self._add_memory(layer, args))

    def _add_memory(self, layer: int, args: tuple) -> tuple:
        if layer not in self._inputs:  # memory off
            return args
        hidden, *rest = args
        return hidden + self.engram[str(layer)](hidden, *self._inputs[layer]).to(hidden.dtype), *rest

    def hidden_states(
        self,
        tokens: Tensor,
        position: Tensor | None = None,
        attention: Tensor | None = None,
        memory: Tensor | bool = True,
        shift: Tensor | None = None,
        still: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, d).

        tokens int64 (B, T); position int64 (B, T) and attention bool (B, 1, T, T) for several documents in one
        row; memory: False leaves the Engram layers out, a bool tensor (B, T) does so for single tokens; shift int64
        (B, T): added to the compressed ids that are hashed, so that these tokens read other rows; still bool (B, T):
        where True, the rows that are read do not learn.
        """
        if position is None:
            position = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        self._inputs, self._routed = {}, []
        if self.settings is not None and memory is not False:
            compressed = self.token_map[tokens]
            if shift is not None:
                compressed = (compressed + shift) % self.n_compressed
            mask = None if memory is True else memory
            for layer, hashing in self.hashing.items():
                rows = row_ids(compressed, position, hashing, self.settings.ngram_sizes, self.pad_id)
                self._inputs[layer] = (rows, position, mask, still)
        return self.backbone.get_decoder()(
            input_ids=tokens, attention_mask=attention, position_ids=position, use_cache=False
        ).last_hidden_state

    def forward(
        self,
        tokens: Tensor,
        position: Tensor | None = None,
        attention: Tensor | None = None,
        memory: Tensor | bool = True,
    ) -> Tensor:
        """Logits (B, T, vocab); arguments as in `hidden_states`."""
        return self.backbone.get_output_embeddings()(self.hidden_states(tokens, position, attention, memory))

    def imbalance(self) -> Tensor | float:
        """How unevenly the last pass used its experts: 1 when evenly (Switch Transformer, eq. 4); 0 if dense."""
        total: Tensor | float = 0.0
        for logits in self._routed:
            probability = logits.float().flatten(0, -2).softmax(-1)  # (tokens, experts)
            n_experts = probability.shape[-1]
            load = nn.functional.one_hot(probability.argmax(-1), n_experts).float().mean(0)
            total = total + n_experts * (load * probability.mean(0)).sum() / len(self._routed)
        return total

    def count_parameters(self) -> dict[str, int]:
        """Numbers of the backbone (tied weights once), of the tables, and of the rest of the Engram layers."""
        tables = sum(layer.table.weight.numel() for layer in self.engram.values())
        return {
            "backbone": sum(p.numel() for p in self.backbone.parameters()),
            "tables": tables,
            "engram_rest": sum(p.numel() for p in self.engram.parameters()) - tables,
        }

    def config(self) -> dict:
        """config.json: the backbone's, with the "engram" block."""
        config = dict(self.backbone_config)
        if self.settings is not None:
            block = {
                **asdict(self.settings),
                "compressed_vocab_size": int(self.token_map.max()) + 1,
                "pad_id": self.pad_id,
                "hc_mult": 1,
            }
            block["layers"] = {str(k): {n: list(v) for n, v in asdict(h).items()} for k, h in self.hashing.items()}
            config["engram"] = block
        return config

    def save(self, folder: Path, dtype: torch.dtype = torch.float16) -> None:
        """config.json and safetensors shards under 16 MiB, with Hugging Face's names for the backbone."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {k: v.to(dtype) for k, v in self.backbone.state_dict().items() if k != "lm_head.weight"}
        tensors |= {f"engram.{k}": v.to(dtype) for k, v in self.engram.state_dict().items()}
        if self.settings is not None:
            tensors["engram.token_map"] = self.token_map.to(torch.int32)
        shards: list[dict[str, Tensor]] = [{}]
        for name, tensor in tensors.items():
            if shards[-1] and sum(t.nbytes for t in shards[-1].values()) + tensor.nbytes > SHARD_BYTES:
                shards.append({})
            shards[-1][name] = tensor.cpu().contiguous()
        weight_map = {}
        for i, shard in enumerate(shards, 1):
            name = f"model-{i:05}-of-{len(shards):05}.safetensors"
            (folder / name).write_bytes(save(shard, metadata={"format": "pt"}))  # save_file would hide it from others
            weight_map |= dict.fromkeys(shard, name)
        total = sum(t.nbytes for shard in shards for t in shard.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
        (folder / "config.json").write_text(json.dumps(self.config(), indent=1))

    @classmethod
    def load(cls, folder: Path) -> "EngramModel":
        """The model that `save` wrote, in float32 on the CPU."""
        config = json.loads((folder / "config.json").read_text())
        block = config.pop("engram", None)
        tensors: dict[str, Tensor] = {}
        for path in sorted(folder.glob("model-*.safetensors")):
            with safe_open(path, "pt") as shard:
                tensors |= {name: shard.get_tensor(name) for name in shard.keys()}  # noqa: SIM118 (a reader, not a dict)
        settings = None
        if block is not None:
            known = EngramSettings.__dataclass_fields__
            settings = EngramSettings(
                **{k: tuple(v) if isinstance(v, list) else v for k, v in block.items() if k in known}
            )
        token_map = tensors.pop("engram.token_map", torch.arange(config["vocab_size"])).numpy()
        model = cls(config, settings, token_map)
        engram = {k.removeprefix("engram."): v.float() for k, v in tensors.items() if k.startswith("engram.")}
        model.engram.load_state_dict(engram)
        backbone = {k: v.float() for k, v in tensors.items() if not k.startswith("engram.")}
        missing, unexpected = model.backbone.load_state_dict(backbone, strict=False)
        if unexpected or set(missing) - {"lm_head.weight"}:
            raise ValueError(f"{folder}: missing {missing}, unexpected {unexpected}")
        return model.eval()
