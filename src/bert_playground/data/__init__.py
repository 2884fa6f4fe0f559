"""Tables to text to batches: read, decide, tokenise, load."""

from .pipeline import TextPipeline as TextPipeline
from .prepare import Prepared as Prepared
from .prepare import prepare as prepare
