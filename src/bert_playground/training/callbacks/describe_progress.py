"""describe_pace, describe_evaluation, describe_time: how far a run is, in words."""

from bert_playground.training.core.state import TrainState


def describe_pace(state: TrainState) -> str:
    """The rates of work since the last report."""
    return f"{state.rows_per_second:,.0f} rows/s  {state.tokens_per_second:,.0f} tokens/s"


def describe_evaluation(state: TrainState) -> str:
    """The metrics of the last evaluation, with a star when it is the best so far."""
    record = state.history[-1]
    values = "  ".join(f"{name} {value:.4g}" for name, value in state.metrics.items())
    star = "  *" if state.is_best else ""
    return f"epoch {record['epoch']}/{state.num_epochs}  train_loss {record['train_loss']:.4g}  {values}{star}"


def seconds_left(state: TrainState) -> float:
    """How long the steps that are left take at the mean pace so far, evaluations included."""
    return state.seconds / max(1, state.step) * (state.total_steps - state.step)


def describe_time(seconds: float) -> str:
    """Such as 0:42, 12:05 or 1:03:20."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
