"""Stack: everything that was fitted of a blend, as one thing to save and to apply to new rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bert_playground.blending.calibration import Calibration
from bert_playground.blending.combiner import Combiner
from bert_playground.blending.decision import Decision
from bert_playground.lookup import nearest, shorten

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Stack:
    """Members' answers → probabilities or numbers → decided classes.

    Attributes:
        names: of the members, in the order of the combiner.
        combiner: makes one answer of theirs.
        calibration: of the blended probabilities; None: they stay as they are.
        decision: which class; None: the usual reading of probabilities.
    """

    names: tuple[str, ...]
    combiner: Combiner
    calibration: Calibration | None = None
    decision: Decision | None = None

    @property
    def used(self) -> tuple[str, ...]:
        """The members that count; the others need not answer."""
        weights = zip(self.names, self.combiner.weights, strict=True)
        return tuple(name for name, weight in weights if weight > 0)

    def score(self, answers: Mapping[str, Array]) -> Array:
        """Blended probabilities or numbers, in the form of the members' answers.

        Args:
            answers: scores of any rows by member; those without weight may be missing, others are not looked at.

        Raises:
            ValueError: a member's answers are missing; all are listed.
        """
        missing = [name for name in self.used if name not in answers]
        if missing:
            listed = ", ".join(f"{name!r}{nearest(name, answers)}" for name in missing)
            raise ValueError(
                f"the blend needs answers of {listed} (there are: {shorten(answers)}); let all members answer"
            )
        one = answers[self.used[0]]
        # What a member without weight would say does not matter.
        scores = self.combiner.combine([answers.get(name, one) for name in self.names])
        return scores if self.calibration is None else self.calibration.apply(scores)

    def decide(self, scores: Array) -> Array:
        """The scores of `score` as the decided classes, 0 or 1, or as they are where nothing was learned of that."""
        return scores if self.decision is None else self.decision.apply(scores)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads to the same bits."""
        parts = {"calibration": self.calibration, "decision": self.decision}
        return {
            "names": list(self.names),
            "combiner": self.combiner.to_dict(),
            **{name: part.to_dict() for name, part in parts.items() if part is not None},
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            ValueError: it was changed.
        """
        names = state.get("names")
        for name in ("combiner", "calibration", "decision"):
            if not isinstance(state.get(name, {}), Mapping):
                raise ValueError(f"{name!r} of a blend is no record; the file was changed")
        combiner = Combiner.from_dict(state.get("combiner", {}))
        if not isinstance(names, list | tuple) or len(names) != len(combiner.weights):
            raise ValueError(
                f"a blend names the members {names} but has {len(combiner.weights)} weights; "
                "the file was changed: copy it again"
            )
        calibration, decision = state.get("calibration"), state.get("decision")
        return cls(
            tuple(map(str, names)),
            combiner,
            None if calibration is None else Calibration.from_dict(calibration),
            None if decision is None else Decision.from_dict(decision),
        )
