"""race_trials: the best trials and the defaults on fresh splits of their rows; after each two rounds the worse half is left behind.

The best score of many trials is partly luck with the rows that validated them all, so other rows are asked: a race as of irace
(Birattari et al., 2002), with the schedule of successive halving (Jamieson & Talwalkar, 2016).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from bert_playground.blending.objective import standard_error
from bert_playground.files import is_storage_error
from bert_playground.logger import logger
from bert_playground.lookup import count_of
from bert_playground.tuning.clock import LEAST_RACERS, MOST_RACERS, RACE_ROUNDS, halve
from bert_playground.tuning.search import Search
from bert_playground.tuning.space import Space, measure_distance
from bert_playground.tuning.study import complete_trials, describe_failure
from bert_playground.tuning.trial import Outcome
from bert_playground.tuning.weights import drop_weights

COMPLETE_PER_TRIAL = 5  # in the search for each that races: the best of few is not much luck
LEAST_DISTANCE = 0.1  # trials nearer to each other would race against themselves
MOST_ROUNDS = 8
RACE_SEED = 20_000  # beyond those of trials and of the verdict
Number = int | None  # of a trial; None: the defaults


@dataclass(frozen=True)
class Race:
    """What fresh splits said.

    Attributes:
        values: the metric of each round that a trial, or the defaults, ran.
        winner: the best mean of those that ran all rounds.
        last: the winner's training of the last round, which keeps its weights.
        seconds: of one training of the winner, on average.
    """

    values: Mapping[Number, Sequence[float]]
    winner: Number
    last: Outcome
    seconds: float

    @property
    def value(self) -> float:
        """Mean of the winner over the rounds."""
        return float(np.mean(self.values[self.winner]))

    @property
    def error(self) -> float | None:
        """Its standard error over the rounds."""
        return standard_error(np.array(self.values[self.winner]))

    def say(self) -> str:
        """Such as "0.4210 ± 0.0080 over 8 fresh splits, on which the best 8 of them raced against the defaults"."""
        splits = count_of(len(self.values[self.winner]), "fresh split")
        spread = "" if self.error is None else f" ± {self.error:.4f}"
        return (
            f"{self.value:.4f}{spread} over {splits}, on which the best {len(self.values) - 1} of them raced "
            "against the defaults"
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        entries = [{"trial": each, "values": list(found)} for each, found in self.values.items()]
        return {"winner": self.winner, "entries": entries}


def race_trials(search: Search, first_seed: int) -> Race | None:
    """Let the best trials race against the defaults; None: there are too few of them, or too little time.

    Args:
        search: that has ended.
        first_seed: of the rounds; each counts on.

    Raises:
        OSError: the disk is full, or the like.
    """
    chosen = choose_trials(
        complete_trials(search.study), search.space, search.sign, search.clock.most_racers - 1
    )
    if 1 + len(chosen) < LEAST_RACERS:
        return None
    entries: dict[Number, FrozenTrial | None] = {
        None: None,
        **{each.number: each for each in chosen},
    }
    ran: dict[Number, list[Outcome]] = {number: [] for number in entries}
    racing, num_rounds = list(entries), 0
    while num_rounds < MOST_ROUNDS and len(racing) > 1:
        round_ = {number: entries[number] for number in racing}
        found = _run_round(search, round_, first_seed + num_rounds, num_rounds)
        if found is None:
            break
        num_rounds += 1
        for number, outcome in found.items():
            ran[number].append(outcome)
        racing = [number for number in racing if number in found]
        if num_rounds % RACE_ROUNDS == 0:
            racing = keep_half(racing, _values(ran), search.sign)
    return _conclude(ran, racing, num_rounds, search.sign)


def _conclude(
    ran: Mapping[Number, Sequence[Outcome]], racing: Sequence[Number], num_rounds: int, sign: float
) -> Race | None:
    race = None
    if racing and num_rounds >= RACE_ROUNDS:
        values = _values(ran)
        winner = rank(racing, values, sign)[0]
        seconds = float(np.mean([each.seconds for each in ran[winner]]))
        race = Race(values, winner, ran[winner][-1], seconds)
    for outcome in (each for found in ran.values() for each in found):
        if race is None or outcome is not race.last:
            drop_weights(outcome.run)
    return race


def choose_trials(
    trials: Sequence[FrozenTrial], space: Space, sign: float, most: float
) -> list[FrozenTrial]:
    """The best ones that are not all but the same.

    Args:
        trials: that are complete.
        space: of their settings.
        sign: -1 where less is better.
        most: that are wanted.
    """
    most = int(min(most, MOST_RACERS - 1, len(trials) // COMPLETE_PER_TRIAL))
    chosen: list[FrozenTrial] = []
    for trial in sorted(trials, key=lambda each: (-sign * (each.value or 0.0), each.number)):
        if len(chosen) >= most:
            break
        values = space.decode(trial.params)
        others = (space.decode(each.params) for each in chosen)
        if all(measure_distance(space, values, each) >= LEAST_DISTANCE for each in others):
            chosen.append(trial)
    return chosen


def rank(
    racing: Sequence[Number], values: Mapping[Number, Sequence[float]], sign: float
) -> list[Number]:
    """Best mean first; of equals that which came first, so the defaults."""
    return sorted(racing, key=lambda number: -sign * float(np.mean(values[number])))


def keep_half(
    racing: Sequence[Number], values: Mapping[Number, Sequence[float]], sign: float
) -> list[Number]:
    """The better half; two stay two."""
    return rank(racing, values, sign)[: halve(len(racing))]


def _values(ran: Mapping[Number, Sequence[Outcome]]) -> dict[Number, list[float]]:
    return {
        number: [each.value for each in found if each.value is not None]
        for number, found in ran.items()
    }


def _run_round(
    search: Search, entries: Mapping[Number, FrozenTrial | None], seed: int, num_rounds: int
) -> dict[Number, Outcome] | None:
    """One training of each on the same split; None: there was no time for all of them. Who fails is left out."""
    clock = search.clock
    if not clock.has_time_to_race(len(entries)):
        return None
    try:
        runner = search.runner.on_split(seed, "race")
    except ValueError as error:
        logger.warning(f"the race ends, as another split cannot be drawn: {error}")
        return None
    found: dict[Number, Outcome] = {}
    for number, trial in entries.items():
        who = "the defaults" if trial is None else f"trial {number}"
        search.progress.begin(f"round {num_rounds + 1} of the race, {who}")
        try:
            configured = search.configured(trial)
            outcome = runner.run_afresh(*configured, lambda: clock.race_left)
        # As in the search: whatever a configuration dies of, the others go on; a full disk ends them all.
        except Exception as error:
            if is_storage_error(error):
                raise
            logger.warning(f"{who} failed in the race: {describe_failure(error)}")
            continue
        found[number] = outcome
        if outcome.ended:
            for each in found.values():
                drop_weights(each.run)
            return None
    return found
