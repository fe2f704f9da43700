"""Whether a GGUF from elsewhere and Engram layers belong together: sizes, tokenizer, and the graph's nodes, by running
it. Nothing here writes."""

from pathlib import Path
from typing import Protocol

from engram_local.backends.gguf_tokenizer import GgufTokenizer
from engram_local.backends.llama_library import ggml_functions, llama, load_model, metadata
from engram_local.backends.llama_nodes import SHARED_INPUT, check_entries, input_node
from engram_local.config import EngramConfig
from engram_local.errors import BackendError, ModelFolderError
from engram_local.progress import Progress


class _Reached(Exception):
    """The last Engram layer's node has been computed; the rest of the graph need not be."""


class Origin(Protocol):
    """Where Engram layers and tables come from."""

    path: Path
    engram: EngramConfig
    config: dict  # of the base model

    def pieces(self) -> tuple[dict[int, str], set[int]] | None:
        """{token id: piece} and the ids of added tokens, of the layers' own tokenizer; None without one."""
        ...

    def n_bytes(self, out: Path) -> int:
        """Bytes that `write` needs."""
        ...

    def write(self, out: Path, placed: dict, progress: Progress | None) -> dict:
        """Put layers, tables, config and tokenizer into the folder `out`. Returns what the manifest says of them; how
        they got there goes into `placed`."""
        ...


def check_fit(gguf: Path, origin: Origin) -> GgufTokenizer | None:
    """Raise EngramError unless the layers of `origin` fit the backbone `gguf`; returns the GGUF's tokenizer if any."""
    config = origin.config.get("text_config", origin.config)
    model = load_model(gguf, vocab_only=True)
    try:
        split = metadata(model, "split.count")
        if split not in (None, "0", "1"):
            raise ModelFolderError(f"{gguf}: is one of {split} parts; join them first (llama-gguf-split --merge)")
        n_tokens = llama().llama_vocab_n_tokens(llama().llama_model_get_vocab(model))
        has_tokenizer = llama().llama_vocab_type(llama().llama_model_get_vocab(model)) != 0
    finally:
        llama().llama_model_free(model)
    tokenizer = GgufTokenizer(gguf) if has_tokenizer else None
    known = origin.pieces()
    if known is not None:
        check_tokenizer(gguf, tokenizer, n_tokens, *known, origin.path)
    check_graph(gguf, origin.engram, config, origin.path)
    return tokenizer


def check_graph(gguf: Path, engram: EngramConfig, config: dict, source: Path) -> None:
    """Compare hidden size and blocks, then evaluate one token as far as the last Engram layer: llama.cpp's graph must
    have each layer's node, in the order of the layers and of the hidden size. Reads no later weights."""
    from engram_local._llama_callback import EvalCallback

    lib, model, ctx = llama(), load_model(gguf), None
    try:
        architecture = metadata(model, "general.architecture")
        for what, key, have in (
            ("hidden size", "hidden_size", lib.llama_model_n_embd(model)),
            ("blocks", "num_hidden_layers", lib.llama_model_n_layer(model)),
        ):
            if config.get(key) != have:
                raise ModelFolderError(
                    f"{gguf}: {what} {have}, but {source} was made for {config.get(key)}: not the same base model"
                )
        if engram.layers[-1].layer_id >= lib.llama_model_n_layer(model):
            raise ModelFolderError(
                f"{source}: has an Engram layer {engram.layers[-1].layer_id}, {gguf} ends with block "
                f"{lib.llama_model_n_layer(model) - 1}; they do not belong together"
            )
        shared = SHARED_INPUT.get(architecture, "")
        per_layer_input = int(metadata(model, f"{architecture}.{shared}") or 0) if shared else 0
        check_entries(gguf, architecture, [x.layer_id for x in engram.layers], per_layer_input)
        width = 4 * engram.residual_streams * config["hidden_size"]  # bytes of a token
        names = [input_node(architecture, x.layer_id) for x in engram.layers]
        sizes: list[int] = []

        def on_node(index: int) -> None:
            sizes.append(callback.n_bytes)
            if index + 1 == len(names):
                raise _Reached

        callback = EvalCallback([x.encode() for x in names], on_node, ggml_functions())
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 32
        params.cb_eval = lib.ggml_backend_sched_eval_callback(callback.address)
        params.cb_eval_user_data = callback.user_data
        ctx = lib.llama_init_from_model(model, params)
        if not ctx:
            raise BackendError(f"{gguf}: llama.cpp cannot run architecture {architecture!r}; use another GGUF")
        callback.arm()
        lib.llama_decode(ctx, lib.llama_batch_get_one((lib.llama_token * 1)(0), 1))
        try:
            missing = callback.finish()
        except _Reached:
            missing = None
        wrong = [f"node {n!r} of {s} bytes" for n, s in zip(names, sizes, strict=False) if s != width]
        if missing or wrong:
            problem = f"no node {missing!r}" if missing else wrong[0]
            raise BackendError(
                f"{gguf}: llama.cpp's graph of architecture {architecture!r} has {problem}, so Engram layers cannot "
                "enter there; use the ONNX backend (engram-local export --backend onnx)"
            )
    finally:
        if ctx:
            lib.llama_free(ctx)
        lib.llama_model_free(model)


def check_tokenizer(
    gguf: Path, tokenizer: GgufTokenizer | None, n_tokens: int, pieces: dict[int, str], added: set[int], source: Path
) -> None:
    """Compare the vocabularies: the tokens that text is made of must be the same, piece by piece. Added tokens may be
    missing on either side, and llama.cpp's spelling of user-defined ones may differ."""
    n_base = sum(i not in added for i in pieces)
    n_missing = sum(i >= n_tokens for i in pieces if i not in added)
    n_extra = 0
    if tokenizer is not None:
        n_extra = sum(tokenizer.is_text(i) for i in range(tokenizer.vocab_size) if i not in pieces)
        n_missing += sum(tokenizer.vocab_size <= i < n_tokens for i in pieces if i not in added)
    if n_missing or n_extra:
        raise ModelFolderError(
            f"{gguf}: its vocabulary has {n_base - n_missing + n_extra} tokens, {source} was made for {n_base}: "
            "another tokenizer, so every row would be wrong; use a GGUF of the same base model"
        )
    if tokenizer is None:
        return
    for i, piece in sorted(pieces.items()):
        if i < tokenizer.vocab_size and tokenizer.is_text(i) and tokenizer.piece(i) != piece:
            raise ModelFolderError(
                f"{gguf}: token {i} is {tokenizer.piece(i)!r}, {source} was made for {piece!r}: another tokenizer, so "
                "every row would be wrong; use a GGUF of the same base model"
            )


def read_pieces(path: Path) -> tuple[dict[int, str], set[int]]:
    """tokenizer.json: {id: piece}, and the ids of added tokens. Raises ModelFolderError."""
    import tokenizers

    try:
        core = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelFolderError(f"{path}: not a tokenizer: {str(error)[:160]}") from error
    pieces = {i: piece for piece, i in core.get_vocab(with_added_tokens=True).items()}
    return pieces, set(core.get_added_tokens_decoder())
