"""Tables to text to batches: read, decide, tokenise, load."""

import bert_playground.logs  # noqa: F401 (silences the library's messages until they are asked for)

from .pipeline import TextPipeline as TextPipeline
from .prepare import Prepared as Prepared
from .prepare import prepare as prepare
