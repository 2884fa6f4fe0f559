"""What `bert benchmark` runs."""

from bert_playground.bench.cases import run_benchmark as run_benchmark

from .loading import run_loading_benchmark as run_loading_benchmark
