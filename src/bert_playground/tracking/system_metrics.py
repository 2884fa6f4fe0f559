"""SystemMetrics: MLflow's own monitors of processors, memory, disk, network and GPU, read from a thread."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from bert_playground.logger import logger
from bert_playground.tracking.store import import_mlflow

SECONDS = (
    10.0  # between two measurements, unless MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says otherwise
)
LONGEST_STOP = 30.0  # seconds; a thread that is importing needs some
FIRST_SECONDS = 1.0  # until the first one, so that a short run has some too


class SystemMetrics:
    """Calls `send(values, number)` every few seconds, until `stop`."""

    def __init__(self, send: Callable[[Mapping[str, float], int], None]) -> None:
        """Start the thread.

        Args:
            send: takes the values, named system/…, and the number of the measurement.
        """
        self._send = send
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._measure, name="mlflow-system-metrics", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Measure no more; the thread has ended, as Python aborts where one is inside a library at its exit."""
        self._stopped.set()
        self._thread.join(LONGEST_STOP)

    def _measure(self) -> None:
        try:
            monitors, seconds = _create_monitors()
            number, wait = 0, min(FIRST_SECONDS, seconds)
            while not self._stopped.wait(wait) or number == 0:  # once even in the shortest run
                values: dict[str, float] = {}
                for monitor in monitors:
                    monitor.collect_metrics()
                    values |= monitor.aggregate_metrics()
                    monitor.clear_metrics()
                self._send({f"system/{name}": value for name, value in values.items()}, number)
                number, wait = number + 1, seconds
        # What the machine does is beside the point of a run.
        except Exception as error:
            logger.debug(f"system metrics end: {type(error).__name__}: {error}")


def _create_monitors() -> tuple[list[Any], float]:
    import_mlflow()
    from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    with suppress(Exception):  # no NVIDIA GPU, or no library to ask it with
        monitors.append(GPUMonitor())
    return monitors, float(MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or SECONDS)
