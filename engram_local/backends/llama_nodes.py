"""Which node of llama.cpp's graph a layer enters: the residual that block k takes in, by architecture.

Read in llama.cpp's src/models at the release that llama_library.REQUIREMENT names. A graph without the node is found
out at the first token, and by `engram-local attach` before anything is written.
"""

from collections.abc import Sequence

from engram_local.errors import BackendError

# The node that holds a block's output, where it is not l_out. These residuals have several streams.
BLOCK_OUTPUT = dict.fromkeys(("deepseek4", "qwen4exp"), "l_last")
# The node that is block 0's input, where the embedding node is not.
BLOCK_0_INPUT = {
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "gemma4", "minicpm3"), "inp_scaled"),
    **dict.fromkeys(("lfm2", "lfm2moe", "qwen3next", "kimi-linear"), "model.embed_tokens"),
    **dict.fromkeys(("qwen35", "qwen35moe", "bailingmoe3"), "model.input_embed"),
    "afmoe": "inp_embd_scaled",
    **dict.fromkeys(("gpt2", "starcoder", "mpt"), "inpL"),
    **dict.fromkeys(("deepseek4", "qwen4exp"), "hc_init"),
}
# Backbones with an n-gram layer of their own: the node that its rows are written into, float32 [tokens, heads * dim].
NATIVE_ROWS = {"qwen4exp": "ple_embd"}


# Whose block 0 has its input from a node that other parts of the graph read too, where this key is not 0.
SHARED_INPUT = {x: "embedding_length_per_layer_input" for x in ("gemma3n", "gemma4")}


def check_entries(path: object, architecture: str, layer_ids: Sequence[int], per_layer_input: int) -> None:
    """Raise BackendError, naming `path`, where a layer cannot enter without changing more than the block's input.

    per_layer_input: the value of SHARED_INPUT's key, or 0.
    """
    if 0 in layer_ids and per_layer_input and architecture in SHARED_INPUT:
        raise BackendError(
            f"{path}: {architecture} makes its per-layer inputs of the same node that block 0 reads, so an Engram "
            "layer cannot enter there; train it for block 1 or a later one"
        )


def input_node(architecture: str, layer_id: int) -> str:
    """Name of the node that holds the residual entering block `layer_id`: float32, one row of the residual's width a
    token. `architecture` is the GGUF's general.architecture."""
    if layer_id == 0:
        return BLOCK_0_INPUT.get(architecture, "embd")
    return f"{BLOCK_OUTPUT.get(architecture, 'l_out')}-{layer_id - 1}"
