"""From rows to batches as training learned it, and the file that keeps it."""

from .text_pipeline import TextPipeline as TextPipeline
