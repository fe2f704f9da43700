"""Errors a user can act on: one line each that names the file, the value and the way out."""


class EngramError(Exception):
    """Base of every error this package raises on purpose; the command line prints it as one line, exit code 1."""


class UsageError(EngramError):
    """The caller asked for what cannot be: a wrong argument, or something that is closed. A server answers 400."""


class ConfigError(EngramError):
    """config.json or its "engram" block is missing, malformed or contradicts itself."""


class TableError(EngramError):
    """A table file is truncated, altered, malformed, or cannot be read."""


class RowRangeError(TableError):
    """A row id lies outside the table."""


class TokenRangeError(UsageError):
    """A token id lies outside the vocabulary."""


class ModelFolderError(EngramError):
    """A model folder lacks a file, or its manifest does not match what lies there."""


class BackendError(EngramError):
    """The backbone cannot be loaded or run."""


class MissingSoftwareError(BackendError):
    """A runtime that this backbone needs is not installed, too old, or does not load."""


class ContextOverflowError(UsageError):
    """The tokens do not fit into the model's context."""


class CheckpointError(EngramError):
    """A checkpoint cannot be read or exported."""
