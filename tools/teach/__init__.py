"""Teaches facts to a model that somebody else trained: Engram layers around its frozen blocks.

The backbone is not changed by a bit, so with memory off the model is what it was. `docs/knowledge.md` is the way in;
`python -m engram_local.tools.teach --help` the command. PyTorch and transformers are needed here only.
"""
