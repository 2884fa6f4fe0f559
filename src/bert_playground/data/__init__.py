"""Tables to text to batches: read, describe, tokenise, load."""

from .pipeline import TextPipeline as TextPipeline
from .prepare import Tables as Tables
from .prepare import prepare_tables as prepare_tables
