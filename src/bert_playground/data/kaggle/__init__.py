"""What a competition hands out and what it wants back."""

from .submission import write_submission as write_submission
