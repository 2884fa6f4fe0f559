"""shown_progress: what `verbose` means: nothing, or a bar with a line for each epoch."""

from contextlib import AbstractContextManager

from rich.console import Console

from bert_playground.notebook_output import is_notebook
from bert_playground.training.callbacks.notebook_progress import NotebookProgress
from bert_playground.training.callbacks.progress import ProgressBar, progress_by
from bert_playground.training.core import Callback


def shown_progress(verbose: int) -> AbstractContextManager[None]:
    """Inside the block runs show as much as `verbose` says.

    Args:
        verbose: 0: nothing. Else the metrics of each epoch, and a bar where a terminal or a notebook can draw one.
    """
    return progress_by(_create_progress if verbose else lambda _: Callback())


def _create_progress(logging_steps: int) -> Callback:
    return NotebookProgress() if is_notebook() else ProgressBar(Console(stderr=True))
