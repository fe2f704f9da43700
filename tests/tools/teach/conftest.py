try:
    import torch  # noqa: F401
    import transformers
except ImportError:
    collect_ignore_glob = ["test_*.py"]
else:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
