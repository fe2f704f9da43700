"""What a backbone's matrices are given to multiply: second moments of their inputs, over a text.

Without a text the model writes its own: every token drawn from the distribution that it predicts itself.
"""

import numpy as np
import torch
import transformers

from engram_local.tools.export.families import Model

SEQUENCES, LENGTH = 64, 128  # that the model writes, tokens of each
WINDOW, BATCH, MOST = 256, 8, 128  # tokens of a text's sequences, how many are read together, and at most
WIDEST = 2048  # inputs whose moments are kept jointly; a wider matrix is cut into parts of this many


class InputMoments:
    """H = mean of x xᵀ over the inputs x of every linear layer of `model` while it reads a text.

    tokens: int64 [n], the text; None: one that the model writes. The model becomes float32 in place.
    Cost: a forward pass, 2 * K * min(K, WIDEST) operations a token and 4 * K * min(K, WIDEST) bytes for each different
    input of width K.
    """

    def __init__(self, model: torch.nn.Module, tokens: np.ndarray | None = None):
        self._of_weight: dict[int, list[torch.Tensor]] = {}  # by where the weight lies: a slice of it has the same H
        self._last: torch.Tensor | None = None
        model.float()
        layers = [x for x in model.modules() if isinstance(x, torch.nn.Linear) and x is not model.lm_head]
        hooks = [x.register_forward_pre_hook(self._listen) for x in layers]
        try:
            with torch.no_grad():
                if tokens is None:
                    write_text(model)
                else:
                    for batch in _windows(tokens).split(BATCH):
                        model.model(batch, use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()

    def of(self, weight: torch.Tensor) -> list[np.ndarray] | None:
        """float32 [K1, K1], [K2, K2], ... of the inputs of `weight` [N, K], to a common factor; None where no layer
        has this weight.
        """
        parts = self._of_weight.get(_address(weight))
        return None if parts is None else [h.numpy() for h in parts]

    def _listen(self, layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        x, key = inputs[0], _address(layer.weight)
        if x is self._last:  # queries, keys and values share their input
            self._of_weight[key] = self._last_parts
            return
        cut = x.reshape(-1, x.shape[-1]).T.split(WIDEST)
        parts = self._of_weight.setdefault(key, [torch.zeros(len(rows), len(rows)) for rows in cut])
        for h, rows in zip(parts, cut, strict=True):
            h.addmm_(rows, rows.T)
        self._last, self._last_parts = x, parts


def write_text(model: torch.nn.Module) -> torch.Tensor:
    """int64 [SEQUENCES, LENGTH] drawn from what the model itself predicts, behind a random token each; every call
    draws the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        given = torch.randint(model.config.vocab_size, (SEQUENCES, 1))
        n = min(LENGTH, model.config.max_position_embeddings) - 1
        plain = transformers.GenerationConfig(
            do_sample=True, top_k=0, min_new_tokens=n, max_new_tokens=n, pad_token_id=0, use_cache=True
        )
        return model.generate(given, attention_mask=torch.ones_like(given), generation_config=plain)


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
        gate = getattr(mlp, "gate_proj", None)
        if gate is None or len(gate.weight) != self.intermediate_size:  # no gate, or a dense block among mixtures
            self.make_mlp_proj(layer_id, mlp, root_input)
            return
        self._origins[f"/model/layers.{layer_id}/mlp/gate_up_proj/MatMul"] = mlp.gate_proj.weight
        super().make_mlp_proj_fused(layer_id, mlp, root_input)


def _windows(tokens: np.ndarray) -> torch.Tensor:
    """A text's beginning as int64 [m, WINDOW]; a shorter text is one sequence."""
    m = min(len(tokens) // WINDOW, MOST)
    return torch.as_tensor(tokens[: m * WINDOW].reshape(m, WINDOW) if m else tokens[None])


def _address(weight: torch.Tensor) -> int:
    return weight.untyped_storage().data_ptr()
