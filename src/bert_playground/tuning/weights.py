"""drop_weights: what a trial weighs beside its figures; the best one keeps it."""

import shutil

from bert_playground.runs import RunDir


def drop_weights(run: RunDir) -> None:
    """Remove the checkpoints of a run and of the models of its folds; configuration, figures and log stay."""
    for folder in [run.checkpoints, *run.path.glob("folds/*/*/*/checkpoints"), run.pretrained.path]:
        shutil.rmtree(folder, ignore_errors=True)
