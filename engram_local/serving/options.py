"""How to serve: what `engram-local serve` takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServeOptions:
    """How to serve. Times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    n_slots: int = 4
    queue_limit: int = 64
    time_limit: float = 600.0
    drain_s: float = 30.0
    api_keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()  # of CORS
    name: str | None = None  # of the model; its folder's by default
    page: bool = True
