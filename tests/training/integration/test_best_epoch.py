"""Which evaluation decides the best epoch where nobody asks: the loss, and of a regression the absolute error."""

import pytest

from bert_playground.training import run_training


@pytest.mark.parametrize(
    ("target", "settings", "monitor"),
    [
        ("ripe", {}, "val_loss"),
        ("price", {}, "val_mae"),
        ("price", {"head.loss_type": "huber"}, "val_loss"),
        ("price", {"head.uncertainty_estimation": True}, "val_loss"),
        ("price", {"training.metric": "rmse"}, "val_rmse"),
    ],
)
@pytest.mark.quick_for("price-settings1-val_mae", "ripe-settings0-val_loss")
def test_the_best_epoch_is_decided_by(
    make_config, target: str, settings: dict, monitor: str
) -> None:
    summary = run_training(make_config(target, **settings)).summary
    assert (summary["monitor"], summary["mode"]) == (monitor, "min")
