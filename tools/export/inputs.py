"""What a backbone's matrices are given to multiply: second moments of their inputs, over a text.

Without a text the model writes its own: every token drawn from the distribution that it predicts itself.
"""

from collections.abc import Callable

import numpy as np
import torch

from engram_local.tools.export.families import Model

SAMPLES, LENGTH = 32, 256  # sequences that the model writes, tokens of each
BATCH = 8  # sequences that are evaluated together
WIDEST = 2048  # inputs whose moments are kept jointly; a wider matrix is cut into parts of this many


class InputMoments:
    """H = mean of x xᵀ over the inputs x of every linear layer of `model` while it reads `tokens`.

    tokens: int64 [n], a text; None: one that the model writes. Memory: model + 4 * WIDEST * K bytes for each different
    input of width K; the model becomes float32 in place.
    """

    def __init__(self, model: torch.nn.Module, tokens: np.ndarray | None = None):
        self._of_weight: dict[int, list[torch.Tensor]] = {}  # by where the weight lies: a slice of it has the same H
        model.float()
        with torch.inference_mode():
            tokens = write_tokens(model) if tokens is None else _windows(tokens)
            hooks = [
                layer.register_forward_pre_hook(self._listener(layer))
                for layer in model.modules()
                if isinstance(layer, torch.nn.Linear) and layer is not model.get_output_embeddings()
            ]
            try:
                for batch in tokens.split(BATCH):
                    self._last = None
                    model.model(batch, use_cache=False)
            finally:
                for hook in hooks:
                    hook.remove()
        for parts in {id(x): x for x in self._of_weight.values()}.values():
            for h in parts:
                h /= tokens.numel()

    def of(self, weight: torch.Tensor) -> list[np.ndarray] | None:
        """float32 [K1, K1], [K2, K2], ... of the inputs of `weight` [N, K]; None where it was never used alone."""
        parts = self._of_weight.get(_address(weight))
        return None if parts is None else [h.numpy() for h in parts]

    def _listener(self, layer: torch.nn.Linear) -> Callable:
        def listen(_, inputs):
            x, key = inputs[0], _address(layer.weight)
            if x is self._last:  # as the layer before: queries, keys and values share their input
                self._of_weight[key] = self._last_parts
                return
            rows = x.reshape(-1, x.shape[-1])
            parts = self._of_weight.setdefault(key, [torch.zeros(w, w) for w in map(len, _cut(rows.T))])
            for h, part in zip(parts, _cut(rows.T), strict=True):
                h.addmm_(part, part.T)
            self._last, self._last_parts = x, parts

        return listen


def write_tokens(model: torch.nn.Module) -> torch.Tensor:
    """int64 [SAMPLES, LENGTH] drawn from the model, always the same; they begin with a random token each."""
    draw = torch.Generator().manual_seed(0)
    length = min(LENGTH, model.config.max_position_embeddings)
    begin = model.config.bos_token_id
    columns = [] if begin is None else [torch.full((SAMPLES, 1), begin)]
    columns.append(torch.randint(model.config.vocab_size, (SAMPLES, 1), generator=draw))
    given, past = torch.cat(columns, 1), None
    while len(columns) < length:
        out = model(given, past_key_values=past, use_cache=True, logits_to_keep=1)
        past = out.past_key_values
        given = torch.multinomial(out.logits[:, -1].softmax(-1), 1, generator=draw)
        columns.append(given)
    return torch.cat(columns, 1)


class MomentsByName(Model):
    """Mixed in before a builder: knows the inputs' moments of every MatMul that it emits."""

    inputs: InputMoments | None

    def __init__(self, *args):
        self._origins: dict[str, torch.Tensor] = {}  # name of the MatMul -> a weight with the same input
        super().__init__(*args)

    def moments(self, name: str) -> list[np.ndarray] | None:
        """What round_to_inputs takes, of the MatMul `name`; None where nothing is known."""
        return self.inputs.of(self._origins[name]) if self.inputs and name in self._origins else None

    def make_matmul(self, matmul, basename, root_input, **kwargs):
        self._origins.setdefault(basename, matmul.weight)
        return super().make_matmul(matmul, basename, root_input, **kwargs)

    def make_packed_matmul(self, q_matmul, k_matmul, v_matmul, basename, root_input, **kwargs):
        self._origins[basename] = q_matmul.weight
        return super().make_packed_matmul(q_matmul, k_matmul, v_matmul, basename, root_input, **kwargs)

    def make_mlp_proj_fused(self, layer_id, mlp, root_input):
        self._origins[f"/model/layers.{layer_id}/mlp/gate_up_proj/MatMul"] = mlp.gate_proj.weight
        super().make_mlp_proj_fused(layer_id, mlp, root_input)


def _windows(tokens: np.ndarray) -> torch.Tensor:
    """A text's beginning, int64 [n], as sequences [m, LENGTH]; a shorter text is one sequence."""
    n = min(len(tokens) // LENGTH, 4 * SAMPLES)
    return torch.as_tensor(tokens[: n * LENGTH].reshape(n, LENGTH) if n else tokens[None])


def _cut(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Parts of at most WIDEST rows."""
    return x.split(WIDEST)


def _address(weight: torch.Tensor) -> int:
    return weight.untyped_storage().data_ptr()
