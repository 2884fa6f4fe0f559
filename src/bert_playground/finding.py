"""Finding: one thing that a doctor looked at, and what to do about it."""

from dataclasses import asdict, dataclass

GOOD, NOTE, BAD = "ok", "note", "fault"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: was looked at.
        state: GOOD, NOTE or BAD.
        found: in words.
        remedy: what to do; "": nothing.
    """

    what: str
    state: str
    found: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)
