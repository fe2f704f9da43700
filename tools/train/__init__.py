"""The recipe of the pocket model: corpus, reference PyTorch model, training, evaluation.

PyTorch and transformers are needed only here (the `train` extra). Run it as
`python -m engram_local.tools.train OUT`; `docs/pocket.md` explains the steps and reports the results.
"""
