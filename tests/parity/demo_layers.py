"""Engram layers as the demo and TinyEngram compute them: engram-peft's modules (with biases), the demo's hashing."""

import numpy as np
import torch
import transformers
from engram_peft import EngramConfig
from engram_peft.compression import CompressedTokenizer
from engram_peft.hashing import NgramHashMapping
from engram_peft.layer import ContextAwareGating, ShortConv

# Demo names by engram-peft's.
RENAMED = {
    "gating.w_k.": "key_projs.",
    "gating.w_v.": "value_proj.",
    "gating.norm_k.": "norm1.",
    "gating.norm_h.": "norm2.",
}


class DemoModel:
    """A base model with demo layers before some of its blocks."""

    def __init__(self, base, layer_ids, sizes, heads=2, head_dim=16, streams=1, bias=True, dilation=None, eps=None):
        """sizes: where each order's head sizes begin, orders 2 upwards; eps: of all norms, None for the demo's own."""
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        self.base = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        self.orders = list(range(2, len(sizes) + 2))
        self.compressor = CompressedTokenizer(tokenizer=tokenizer)
        self.pad_id = int(self.compressor.map_id(tokenizer.pad_token_id))
        self.hashing = NgramHashMapping(
            len(self.compressor), [n * heads for n in sizes], self.orders, n_head_per_ngram=heads, layer_ids=layer_ids,
            pad_id=self.pad_id, seed=5,
        )  # fmt: skip
        taken = set()
        self.head_primes = {}  # engram-peft sorts the layers, the demo takes them as they are listed
        for layer_id in layer_ids:
            self.head_primes[layer_id] = [[] for _ in sizes]
            for primes, size in zip(self.head_primes[layer_id], sizes, strict=True):
                for _ in range(heads):
                    primes.append(self.hashing.find_next_prime(primes[-1] if primes else size - 1, taken))
                    taken.add(primes[-1])
        self.primes = {i: [p for primes in self.head_primes[i] for p in primes] for i in layer_ids}
        width, d = len(self.orders) * heads * head_dim, self.base.config.hidden_size
        torch.manual_seed(1)
        self.layers, self.tables = {}, {}
        for layer_id in layer_ids:
            gating = ContextAwareGating(EngramConfig(), width, d, streams, zero_init=False)
            if bias:
                gating.w_v = torch.nn.Linear(width, d)
                gating.w_k = torch.nn.ModuleList(torch.nn.Linear(width, d) for _ in range(streams))
            conv = ShortConv(d, dilation=dilation or self.orders[-1], hc_mult=streams, zero_init=False)
            layer = torch.nn.ModuleDict({"gating": gating, "short_conv": conv})
            with torch.no_grad():
                for weight in layer.parameters():
                    weight.add_(0.3 * torch.randn_like(weight))
            if eps is not None:
                for norm in (x for x in layer.modules() if isinstance(x, torch.nn.RMSNorm)):
                    norm.eps = eps
            self.layers[layer_id] = layer
            self.tables[layer_id] = torch.randn(sum(self.primes[layer_id]), head_dim)
            self.base.model.layers[layer_id].register_forward_pre_hook(self._hook(layer_id))
        self.memory = True

    def offsets(self, layer_id: int) -> torch.Tensor:
        return torch.tensor(np.cumsum([0, *self.primes[layer_id]])[:-1])

    def row_ids(self, ids: np.ndarray, layer_id: int) -> np.ndarray:
        """int64 [n] -> int64 [n, orders * heads]; multiplier k meets the token k places back."""
        compressed = self.compressor.map_ids(ids)
        padded = np.concatenate([np.full(len(self.orders), self.pad_id), compressed])
        shifted = [padded[len(self.orders) - k : len(padded) - k] for k in range(len(self.orders) + 1)]
        columns = []
        for n, primes in zip(self.orders, self.head_primes[layer_id], strict=True):
            mix = np.bitwise_xor.reduce([shifted[k] * self.hashing.all_multipliers[layer_id][k] for k in range(n)])
            columns += [mix % p for p in primes]
        return np.stack(columns, axis=1) + self.offsets(layer_id).numpy()

    def logits(self, ids: np.ndarray, memory: bool = True) -> np.ndarray:
        """float32 [len(ids), vocab]."""
        self.memory, self.ids = memory, ids
        with torch.no_grad():
            return self.base(torch.tensor(ids)[None]).logits[0].numpy()

    def layer_tensors(self, layer_id: int) -> dict[str, torch.Tensor]:
        """One layer's state dict in the demo's names."""
        tensors = {
            "multi_head_embedding.embedding.weight": self.tables[layer_id],
            "multi_head_embedding.offsets": self.offsets(layer_id),
        }
        for name, tensor in self.layers[layer_id].state_dict().items():
            for ours, theirs in RENAMED.items():
                name = name.replace(ours, theirs)
            tensors[name] = tensor
        return tensors

    def _hook(self, layer_id: int):
        def pre_hook(_, args):
            if not self.memory:
                return args
            hidden, layer = args[0], self.layers[layer_id]
            rows = self.tables[layer_id][torch.tensor(self.row_ids(self.ids, layer_id))].flatten(-2)[None]
            streams = len(layer["gating"].w_k)
            y = layer["short_conv"](layer["gating"](rows, hidden.unsqueeze(2).expand(-1, -1, streams, -1)))
            return (hidden + y.sum(2), *args[1:])

        return pre_hook
