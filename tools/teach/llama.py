"""The decoder of a Llama, frozen, written out so that PyTorch can compile its blocks: what transformers computes, with
fewer and larger kernels. On a GPU those are most of a training step's time.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention, silu

PLAIN = {"attention_bias": False, "mlp_bias": False, "hidden_act": "silu"}
KeysValues = tuple[Tensor, Tensor]


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """As LlamaRMSNorm: in float32, scaled in the type of `x`."""
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: x (B, heads, T, d); cos, sin (T, d)."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def frozen(*weights: Tensor) -> nn.Parameter:
    """Weights of linear layers as one."""
    return nn.Parameter(torch.cat(weights), requires_grad=False)


def compiled(function: Callable) -> Callable:
    """`function` compiled at its first call, for every number of rows and tokens."""
    unsound = "triton.coalesce_tiling_analysis"  # an assertion of PyTorch 2.11 fails where sizes are not known
    return torch.compile(
        function, dynamic=True, options={unsound: False} if unsound in torch._inductor.list_options() else {}
    )


class Block(nn.Module):
    """One block; its three projections of the normed state are one, and so are its two of the second."""

    def __init__(self, given: nn.Module, eps: float):
        super().__init__()
        attention, mlp = given.self_attn, given.mlp
        self.eps, self.head_dim = eps, attention.head_dim
        self.n_kv = attention.k_proj.out_features // self.head_dim
        self.group = attention.q_proj.out_features // attention.k_proj.out_features
        self.norm, self.norm_mlp = given.input_layernorm.weight, given.post_attention_layernorm.weight
        self.qkv = frozen(attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)
        self.out = attention.o_proj.weight
        self.gate_up, self.down = frozen(mlp.gate_proj.weight, mlp.up_proj.weight), mlp.down_proj.weight

    def forward(self, x: Tensor, before: KeysValues | None, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """(B, T, d) of x (B, T, d). before: keys and values (1, n_kv, P, head_dim) of the P tokens that come first;
        cos, sin (T, head_dim); mask (T, P + T), added to the scores."""
        n, t, _ = x.shape
        heads = linear(rms_norm(x, self.norm, self.eps), self.qkv).view(n, t, -1, self.head_dim).transpose(1, 2)
        query, keys, values = heads.split((self.group * self.n_kv, self.n_kv, self.n_kv), 1)
        query, keys = rotated(query, cos, sin), rotated(keys, cos, sin)
        if before is not None:
            keys = torch.cat([before[0].expand(n, -1, -1, -1), keys], 2)
            values = torch.cat([before[1].expand(n, -1, -1, -1), values], 2)
        keys, values = keys.repeat_interleave(self.group, 1), values.repeat_interleave(self.group, 1)
        seen = scaled_dot_product_attention(query, keys, values, mask)
        x = x + linear(seen.transpose(1, 2).reshape(n, t, -1), self.out)
        gate, up = linear(rms_norm(x, self.norm_mlp, self.eps), self.gate_up).chunk(2, -1)
        return x + linear(silu(gate) * up, self.down)


class Llama(nn.Module):
    """The decoder of a plain Llama `backbone`."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.decoder = backbone.get_decoder()
        self.blocks = nn.ModuleList(Block(x, backbone.config.rms_norm_eps) for x in self.decoder.layers)
        on_gpu = self.decoder.embed_tokens.weight.is_cuda
        self.trained = [compiled(x) if on_gpu else x for x in self.blocks]

    @staticmethod
    def fits(backbone: nn.Module) -> bool:
        """Whether the model is one that this module computes."""
        config = backbone.config
        plain = all(getattr(config, name, value) == value for name, value in PLAIN.items())
        rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
        return config.model_type == "llama" and plain and rope.get("rope_type", "default") == "default"

    def forward(self, tokens: Tensor, before: list[KeysValues], add_memory: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Last hidden states (B, T, d) of tokens int64 (B, T).

        before: of every block, keys and values of what comes first, or empty; add_memory(i, hidden): what block i gets.
        """
        n_before = before[0][0].shape[2] if before else 0
        x, t = self.decoder.embed_tokens(tokens), tokens.shape[1]
        position = torch.arange(n_before, n_before + t, device=x.device)
        cos, sin = (a[0] for a in self.decoder.rotary_emb(x, position_ids=position[None]))
        width = ((n_before + t) // 16 + 2) * 16  # rows are aligned, and longer than what is seen of them
        unseen = torch.arange(width, device=x.device) > position[:, None]
        mask = torch.zeros_like(unseen, dtype=x.dtype).masked_fill_(unseen, -torch.inf)[:, : n_before + t]
        for i, block in enumerate(self.blocks):
            x = add_memory(i, x)
            x = (self.trained[i] if x.requires_grad else block)(x, before[i] if before else None, cos, sin, mask)
        return self.decoder.norm(x)
