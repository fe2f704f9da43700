"""A frozen decoder with Engram layers before some of its blocks.

    last n tokens --compress, multiply, XOR, mod prime--> row ids --> e (E,)        lookup
    gate = sigmoid(sign(s) * sqrt(max(|s|, 1e-6))),  s = <norm_k(W_K e), norm_q(h)> / sqrt(d)
    h <- h + gate * W_V e                                                           add

As in the paper (arXiv 2601.07372), without its convolution: that one starts with a norm, which would lift a whisper
of the memory to full voice. Tables start at zero, and the rows that the chat's fixed beginning reads stay there: what
was never taught adds exactly nothing.
"""

import inspect
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers import DynamicCache

from engram_local.errors import EngramError
from engram_local.tools.train.model import Hashing, RMSNorm, plan_hashing, row_ids

from .llama import Llama, compiled

WEIGHTS = "engram.safetensors"
LOUD = 0.5  # root mean square of the numbers that a row is expected to grow to


class TaughtError(EngramError):
    """A checkpoint of taught layers that cannot be read, or does not belong to the model."""


@dataclass(frozen=True)
class LayerSettings:
    """Where the layers stand and how large their tables are."""

    layer_ids: tuple[int, ...]
    rows: int  # of each head, about: the primes above it
    ngram_sizes: tuple[int, ...] = (2, 3, 4, 5)
    n_heads: int = 2  # of each order
    head_dim: int = 64
    seed: int = 0
    norm_eps: float = 1e-6

    @property
    def width(self) -> int:
        """Numbers that one token's rows hold together."""
        return len(self.ngram_sizes) * self.n_heads * self.head_dim

    @classmethod
    def read(cls, folder: Path) -> "LayerSettings":
        """Those of a checkpoint that `TaughtModel.save` wrote. Raises TaughtError."""
        try:
            block = json.loads((folder / "config.json").read_text())["engram"]
            names = [x.name for x in fields(cls)]
            return cls(**{x: tuple(block[x]) if isinstance(block[x], list) else block[x] for x in names})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TaughtError(f"{folder}: is no checkpoint that was taught with this tool ({error!r:.100})") from error


class EngramLayer(nn.Module):
    """One table with its gate and projections; all float32."""

    def __init__(self, settings: LayerSettings, hashing: Hashing, hidden_size: int):
        super().__init__()
        self.table = nn.Embedding(hashing.n_rows, settings.head_dim)
        self.key_proj = nn.Linear(settings.width, hidden_size, bias=False)
        self.value_proj = nn.Linear(settings.width, hidden_size, bias=False)
        self.norm_key = RMSNorm(hidden_size, settings.norm_eps)
        self.norm_query = RMSNorm(hidden_size, settings.norm_eps)
        nn.init.zeros_(self.table.weight)

    def forward(self, hidden: Tensor, rows: Tensor, memory: Tensor | None) -> Tensor:
        """What is added to the hidden state, float32 (B, T, d). hidden (B, T, d); rows int64 (B, T, heads); memory bool
        (B, T), False where nothing is added."""
        looked_up = self.table(rows).flatten(-2)  # (B, T, E)
        voice = self.compiled_voice if hidden.is_cuda and torch.is_grad_enabled() else self._voice
        return voice(looked_up, hidden, memory)

    @cached_property
    def compiled_voice(self) -> Callable:
        """`_voice` for training on a GPU."""
        return compiled(self._voice)

    def _voice(self, looked_up: Tensor, hidden: Tensor, memory: Tensor | None) -> Tensor:
        key = self.norm_key(self.key_proj(looked_up))
        s = (key * self.norm_query(hidden)).sum(-1, keepdim=True) / math.sqrt(hidden.shape[-1])
        gate = torch.sigmoid(s.sign() * s.abs().clamp_min(1e-6).sqrt())
        if memory is not None:
            gate = gate * memory.unsqueeze(-1)
        return gate * self.value_proj(looked_up)


class TaughtModel(nn.Module):
    """The frozen `backbone` with Engram layers, entered by forward pre-hooks.

    prefix: token ids that every chat begins with. Their keys and values are computed once, which is exact: no row that
    they read ever leaves zero (`silence_prefix`).
    """

    def __init__(self, backbone: nn.Module, settings: LayerSettings, token_map: np.ndarray, prefix: list[int]):
        super().__init__()
        self.settings, self.prefix = settings, prefix
        self._backbone = [backbone]  # not a submodule: it is neither trained nor saved
        device, config = next(backbone.parameters()).device, backbone.config.get_text_config()
        self.register_buffer("token_map", torch.from_numpy(token_map.astype(np.int64)).to(device), persistent=False)
        fill = next(x for x in (config.pad_token_id, config.eos_token_id, 0) if isinstance(x, int))
        self.pad_id = int(token_map[fill])
        arguments = inspect.signature(backbone.get_decoder().forward).parameters
        self._cache_name = "cache" if "cache" in arguments else "past_key_values"  # renamed in transformers 5.24
        self.hashing = plan_hashing(settings, int(token_map.max()) + 1)
        self.layers = nn.ModuleDict()
        self._inputs: dict[int, tuple] = {}  # what the hooks need during one forward pass
        for layer, hashing in self.hashing.items():
            self.layers[str(layer)] = EngramLayer(settings, hashing, config.hidden_size).to(device)
            block = backbone.get_decoder().layers[layer]
            block.register_forward_pre_hook(
                lambda _, args, kwargs, layer=layer: self._add_memory(layer, args, kwargs), with_kwargs=True
            )
        self._llama = [Llama(backbone)] if device.type == "cuda" and Llama.fits(backbone) else []
        self._keys_values = self._read_prefix()
        self._silent_rows = self._rows_of_prefix()
        self._scale_values()

    @property
    def backbone(self) -> nn.Module:
        return self._backbone[0]

    @property
    def device(self) -> torch.device:
        return self.token_map.device

    def _add_memory(self, layer: int, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if layer not in self._inputs:  # memory off
            return args, kwargs
        hidden = args[0] if args else kwargs["hidden_states"]
        hidden = self._with_memory(layer, hidden)
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    def _with_memory(self, layer: int, hidden: Tensor) -> Tensor:
        if layer not in self._inputs:
            return hidden
        return hidden + self.layers[str(layer)](hidden, *self._inputs[layer]).to(hidden.dtype)

    def _read_prefix(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the prefix, of every block."""
        if not self.prefix:
            return []
        cache = DynamicCache()
        with torch.no_grad():
            self.decode(torch.tensor([self.prefix], device=self.device), cache)
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _rows_of_prefix(self) -> dict[str, Tensor]:
        if not self.prefix:
            return {}
        rows = self.row_ids(torch.tensor([self.prefix], device=self.device), chat=False)
        return {str(layer): r.unique() for layer, r in rows.items()}

    @torch.no_grad()
    def _scale_values(self) -> None:
        """Start each value projection so that a row of LOUD numbers adds a vector as long as the hidden state there."""
        decoder = self.backbone.get_decoder()
        tokens = torch.arange(256, 512, device=self.device)[None] % len(self.token_map)
        states = decoder(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
        for layer, module in self.layers.items():
            size = states[int(layer)][:, 1:].float().square().mean(-1).sqrt().median()  # the first token's is apart
            nn.init.normal_(module.value_proj.weight, std=float(size) / LOUD / math.sqrt(self.settings.width))

    @torch.no_grad()
    def silence_prefix(self) -> None:
        """Set the rows that the prefix reads back to zero; call it after every optimizer step."""
        for layer, rows in self._silent_rows.items():
            self.layers[layer].table.weight[rows] = 0.0

    def cache(self, n: int) -> DynamicCache | None:
        """A cache that holds the prefix, for a batch of n; None where there is no prefix."""
        if not self.prefix:
            return None
        cache = DynamicCache()
        for i, (keys, values) in enumerate(self._keys_values):
            cache.update(keys.expand(n, -1, -1, -1), values.expand(n, -1, -1, -1), i)
        return cache

    def row_ids(self, tokens: Tensor, chat: bool) -> dict[int, Tensor]:
        """Rows that tokens int64 (B, T) read, int64 (B, T, heads) a layer; chat: they follow the prefix."""
        n_before = len(self.prefix) if chat else 0
        if n_before:
            tokens = torch.cat([torch.tensor(self.prefix, device=self.device).expand(len(tokens), -1), tokens], 1)
        position = torch.arange(tokens.shape[1], device=self.device).expand_as(tokens)
        compressed, orders = self.token_map[tokens], self.settings.ngram_sizes
        return {
            layer: row_ids(compressed, position, hashing, orders, self.pad_id)[:, n_before:]
            for layer, hashing in self.hashing.items()
        }

    def hidden_states(self, tokens: Tensor, chat: bool, memory: Tensor | bool = True) -> Tensor:
        """Last hidden states (B, T, d), of the backbone's type.

        tokens int64 (B, T), padded on the right; chat: they follow the prefix; memory: False leaves the Engram layers
        out, a bool tensor (B, T) does so for single tokens.
        """
        self._inputs = {}
        if memory is not False:
            mask = None if memory is True else memory
            self._inputs = {layer: (rows, mask) for layer, rows in self.row_ids(tokens, chat).items()}
        if self._llama:
            out = self._llama[0](tokens, self._keys_values if chat else [], self._with_memory)
        else:
            out = self.decode(tokens, self.cache(len(tokens)) if chat else None)
        self._inputs = {}
        return out

    def decode(self, tokens: Tensor, cache: DynamicCache | None) -> Tensor:
        """The backbone's last hidden states (B, T, d) of tokens (B, T) behind those in `cache`, which takes them in."""
        past = {} if cache is None else {self._cache_name: cache}
        return self.backbone.get_decoder()(input_ids=tokens, use_cache=cache is not None, **past).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 (..., vocab) of last hidden states."""
        return self.backbone.get_output_embeddings()(hidden).float()

    def save(self, folder: Path, base_config: dict) -> None:
        """The Engram layers (float16) and config.json: the base's, with the "engram" block that checkpoints/trained.py
        reads."""
        tensors = {f"engram.{k}": v.to(torch.float16) for k, v in self.layers.state_dict().items()}
        tensors["engram.token_map"] = self.token_map.to(torch.int32)
        content = save({k: v.cpu().contiguous() for k, v in tensors.items()}, {"format": "pt"})
        (folder / WEIGHTS).write_bytes(content)  # save_file would hide it from others
        block = {
            **asdict(self.settings),
            "kernel_size": 0,  # no convolution
            "dilation": 1,
            "compressed_vocab_size": int(self.token_map.max()) + 1,
            "pad_id": self.pad_id,
            "hc_mult": 1,
            "layers": {str(k): {n: list(v) for n, v in asdict(h).items()} for k, h in self.hashing.items()},
        }
        (folder / "config.json").write_text(json.dumps(base_config | {"engram": block}, indent=1) + "\n")

    def load(self, folder: Path) -> None:
        """The layers that `save` wrote. Raises TaughtError where they are not those of a model like this one."""
        try:
            tensors = load_file(folder / WEIGHTS)
            token_map = tensors.pop("engram.token_map").to(self.token_map)
            if not torch.equal(token_map, self.token_map):
                raise TaughtError(f"{folder}: was taught to a model with another vocabulary")
            self.layers.load_state_dict({k.removeprefix("engram."): v.float() for k, v in tensors.items()})
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise TaughtError(f"{folder / WEIGHTS}: cannot be loaded: {str(error).splitlines()[0][:160]}") from error
        self.silence_prefix()
