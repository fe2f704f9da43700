"""What /metrics tells, in Prometheus' format."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from engram_local.model import Model
from engram_local.serving.choice import Choice
from engram_local.serving.scheduler import Observer, Scheduler

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/tokenize", "/detokenize", "/health", "/metrics")
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics(Observer):
    """Counts of one server."""

    def __init__(self, model: Model):
        self.model = model
        self.registry = CollectorRegistry()
        self._scheduler: Any = None
        of: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter("engram_requests", "HTTP requests.", ["path", "status"], **of)
        self._answers = Counter("engram_answers", "Answers that ended.", ["memory"], **of)
        self._prompt = Counter("engram_prompt_tokens", "Tokens of prompts that were computed.", **of)
        self._reused = Counter("engram_prompt_tokens_reused", "Tokens of prompts that a slot had already.", **of)
        self._generated = Counter("engram_generated_tokens", "Tokens of answers.", **of)
        self._computing = Counter("engram_step_seconds", "Seconds that steps of the model took.", **of)
        self._first = Histogram(
            "engram_time_to_first_token_seconds", "From a request to its first token.", buckets=SECONDS, **of
        )
        self._token = Histogram(
            "engram_time_per_token_seconds", "Between two tokens of an answer, its mean.", buckets=SECONDS, **of
        )
        self.registry.register(self)  # type: ignore[arg-type]

    def watch(self, scheduler: Scheduler) -> None:
        """The scheduler whose queue and slots are told of."""
        self._scheduler = scheduler

    def requested(self, path: str, status: int) -> None:
        """A request was answered; 499: its client went away."""
        self._requests.labels(path if path in PATHS else "other", status).inc()

    def stepped(self, n_tokens: int, n_prompt: int, seconds: float) -> None:
        """See Observer."""
        self._prompt.inc(n_prompt)
        self._generated.inc(n_tokens)
        self._computing.inc(seconds)

    def ended(self, choice: Choice) -> None:
        """See Observer."""
        self._answers.labels("on" if choice.params.memory else "off").inc()
        figures = choice.figures()
        self._reused.inc(figures.n_reused)
        if choice.read:
            self._first.observe(figures.waited_s + figures.prompt_s)
        if figures.n_generated > 1:
            self._token.observe(figures.decode_s / (figures.n_generated - 1))

    def collect(self) -> Iterator[Metric]:
        """What is counted elsewhere."""
        if self._scheduler is not None:
            yield GaugeMetricFamily("engram_slots", "Sequences at once.", self._scheduler.slots.n)
            yield GaugeMetricFamily("engram_slots_busy", "Slots in use.", self._scheduler.n_running)
            yield GaugeMetricFamily("engram_queue", "Answers that wait for a slot.", self._scheduler.n_waiting)
        rows = CounterMetricFamily("engram_table_rows", "Rows looked up.", labels=["layer"])
        read = CounterMetricFamily("engram_table_bytes", "Bytes of rows looked up.", labels=["layer"])
        hits = CounterMetricFamily("engram_table_cache_hits", "Rows found in the cache.", labels=["layer"])
        misses = CounterMetricFamily("engram_table_cache_misses", "Rows read from the disk.", labels=["layer"])
        tables = self.model.tables
        for layer_id, stats in tables.stats().items():
            layer, n = str(layer_id), stats["rows_read"]
            rows.add_metric([layer], n)
            read.add_metric([layer], n * tables[layer_id].row_bytes)
            cache = stats.get("cache") or {}
            if "hits" in cache:
                hits.add_metric([layer], cache["hits"])
                misses.add_metric([layer], cache["misses"])
        yield from (rows, read, hits, misses)
