"""Tables to text to batches: read, describe, tokenise, load."""

from .pipeline import TextPipeline as TextPipeline
from .tables import Tables as Tables
from .tables import prepare_tables as prepare_tables
