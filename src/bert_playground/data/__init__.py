"""Tables to text to batches: read, describe, tokenise, load."""

from .pipeline import Tables as Tables
from .pipeline import TextPipeline as TextPipeline
from .pipeline import prepare_tables as prepare_tables
