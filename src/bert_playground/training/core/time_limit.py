"""shorten_to_time, name_last_step: fewer steps where a run would take longer than it may, so that its rate still falls to zero at the end."""

from bert_playground.logger import logger
from bert_playground.training.core.state import TrainState

ALL_STEPS = "all steps taken"
FIRST_STEPS, FIRST_SECONDS = 10, 1.0  # before the pace is known; the first step also compiles
MARGIN = 0.93  # of the time that is left: evaluations and checkpoints take their part
CLEARLY = 0.98  # shorter by less than this is not worth another schedule


def shorten_to_time(state: TrainState, max_seconds: float) -> None:
    """Lower `total_steps` to what the pace so far allows; a schedule is never made longer again.

    When the time is up the run stops in good order: the epoch is evaluated, and checkpoints are written.

    Args:
        state: after a step; `seconds` counts evaluations too.
        max_seconds: of all sittings together.
    """
    if state.seconds >= max_seconds:
        state.stop_reason = state.stop_reason or (
            f"the time of {max_seconds:g} s is up after {state.step} of {state.planned_steps} steps"
        )
        return
    if state.step < FIRST_STEPS or state.seconds < FIRST_SECONDS:
        return
    pace = state.seconds / state.step
    affordable = state.step + int((max_seconds - state.seconds) * MARGIN / pace)
    if affordable < state.total_steps * CLEARLY:
        logger.info(
            f"{state.total_steps} steps would take {pace * state.total_steps:.0f} s, more than the {max_seconds:.0f} s that "
            f"they may: {max(affordable, state.step)} steps instead"
        )
        state.total_steps = max(affordable, state.step)


def name_last_step(state: TrainState, max_seconds: float | None) -> str:
    """Why no step follows, for the summary."""
    if max_seconds is None or state.total_steps == state.planned_steps:
        return ALL_STEPS
    return f"{state.total_steps} of {state.planned_steps} steps were taken, as many as fit into {max_seconds:g} s"
