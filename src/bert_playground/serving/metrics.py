"""ServeMetrics: what Prometheus reads, split as text-embeddings-inference splits it."""

from collections.abc import Iterable, Iterator
from threading import Lock

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from bert_playground.data.drift.finding import Finding

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SIZES = tuple(2**power for power in range(17))


class _Lengths(Collector):
    """A histogram that takes many numbers at once: one by one, those of each row would cost more than to write its answer.

    Args:
        name: of the metric.
        help_text: what is counted.
    """

    def __init__(self, name: str, help_text: str) -> None:
        self._name, self._help = name, help_text
        self._counts = np.zeros(len(SIZES) + 1, np.int64)
        self._sum = 0
        self._lock = Lock()

    def observe_all(self, numbers: np.ndarray) -> None:
        """Count them, [R]."""
        places = np.searchsorted(SIZES, numbers)
        with self._lock:
            self._counts += np.bincount(places, minlength=len(self._counts))
            self._sum += int(numbers.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What Prometheus reads."""
        with self._lock:
            totals, total_sum = self._counts.cumsum().tolist(), self._sum
        bounds = [*(floatToGoString(size) for size in SIZES), "+Inf"]
        buckets = list(zip(bounds, totals, strict=True))
        yield HistogramMetricFamily(self._name, self._help, buckets, total_sum)


class ServeMetrics:
    """Counters, histograms and gauges of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.request_count = Counter(
            "bert_request_count", "requests that came", ["route"], registry=registry
        )
        self.request_success = Counter(
            "bert_request_success", "requests that were answered", ["route"], registry=registry
        )
        self.request_failure = Counter(
            "bert_request_failure",
            "requests that got an error",
            ["route", "status"],
            registry=registry,
        )
        self.request_duration = self._seconds("request_duration", "from request to answer")
        self.queue_duration = self._seconds("request_queue_duration", "rows waited for their batch")
        self.tokenization_duration = self._seconds(
            "request_tokenization_duration", "rows became tokens"
        )
        self.inference_duration = self._seconds(
            "request_inference_duration", "batches of the request"
        )
        self.input_length = _Lengths("bert_request_input_length", "tokens of a row or text")
        registry.register(self.input_length)
        self.batch_size = self._sizes("batch_next_size", "rows of a batch")
        self.batch_tokens = self._sizes("batch_next_tokens", "tokens of a batch")
        self.batch_duration = self._seconds("batch_inference_duration", "one forward pass")
        self.queue_size = Gauge("bert_queue_size", "requests that wait", registry=registry)
        self.concurrent_requests = Gauge(
            "bert_concurrent_requests", "requests that are being answered", registry=registry
        )
        self.drift_share = Gauge(
            "bert_drift_share",
            "share of the rows of the last request that differ from training",
            ["model", "column", "what"],
            registry=registry,
        )
        self.drift_rows = Counter(
            "bert_drift_rows",
            "rows that differ from training",
            ["model", "column", "what"],
            registry=registry,
        )

    def _seconds(self, name: str, help_text: str) -> Histogram:
        return Histogram(f"bert_{name}_seconds", help_text, buckets=SECONDS, registry=self.registry)

    def _sizes(self, name: str, help_text: str) -> Histogram:
        return Histogram(f"bert_{name}", help_text, buckets=SIZES, registry=self.registry)

    def observe_batch(self, rows: int, tokens: int, seconds: float) -> None:
        """One forward pass."""
        self.batch_size.observe(rows)
        self.batch_tokens.observe(tokens)
        self.batch_duration.observe(seconds)

    def observe_lengths(self, lengths: np.ndarray) -> None:
        """Tokens of rows or texts, [R]."""
        self.input_length.observe_all(lengths)

    def observe_drift(self, model: str, findings: Iterable[Finding]) -> None:
        """How the rows of a request differ from training."""
        for finding in findings:
            labels = (model, finding.column, finding.what)
            self.drift_share.labels(*labels).set(finding.share)
            self.drift_rows.labels(*labels).inc(finding.rows)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
