"""EnsembleTrainer: the members of an ensemble, trained one after another on the same loaders."""

from pathlib import Path

import mlx.core as mx

from bert_playground.config.schema import RunConfig
from bert_playground.data.core.types import Loader
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.models.ensemble import Ensemble, Variation, vary, write_manifest
from bert_playground.runs import RunDir
from bert_playground.training.build import make_trainer
from bert_playground.training.core import TrainState
from bert_playground.training.members import fit_members


class EnsembleTrainer:
    """Train each member as a run of its own.

    Args:
        ensemble: of models with random or pretrained weights; trained in place.
        config: as for a single model; each member counts its own seed on from `training.seed`.
        run: the folder; it gets a run folder per member and ensemble.json.
        num_rows: of the training data; None: as many as the loader has.
    """

    def __init__(
        self, ensemble: Ensemble, config: RunConfig, run: RunDir, num_rows: int | None = None
    ) -> None:
        self.ensemble = ensemble
        self.config = config
        self.run = run
        self.num_rows = num_rows

    def train(self, train_data: Loader, val_data: Loader | None = None) -> list[TrainState]:
        """Train all members; with the strategy data_subsamples, each on rows of its own.

        Returns:
            The state of each member at its end.

        Raises:
            ValueError: data_subsamples with a loader that cannot be sampled.
        """
        members, strategy = self.ensemble.members, self.ensemble.strategy
        # Architectures and heads are settled already; what is left are seeds and rows.
        variations = vary(strategy or "different_seeds", len(members), "bert")
        runs: list[RunDir] = []

        def fit_member(number: int, variation: Variation) -> TrainState:
            seed = self.config.training.seed + variation.seed_offset
            data = train_data
            runs.append(RunDir.create(self.run.path / "members"))
            if variation.sample_fraction is not None:
                data = _sample(train_data, variation.sample_fraction, seed)
            mx.random.seed(seed)
            trainer = make_trainer(
                members[number],
                self.config,
                pipeline=None,
                run=runs[-1],
                num_rows=self.num_rows or data.num_rows,
            )
            return trainer.train(data, val_data)

        states = fit_members(variations, fit_member, seed=self.config.training.seed)
        kept = [run.best if run.best.is_dir() else run.final for run in runs]
        if all(folder.is_dir() for folder in kept):
            write_manifest(self.run.path, kept, weights=self.ensemble.weights, strategy=strategy)
        return states

    @property
    def path(self) -> Path:
        """The folder that `Ensemble.load` reads afterwards, unless checkpoints were turned off."""
        return self.run.path


def _sample(loader: Loader, fraction: float, seed: int) -> Loader:
    if not isinstance(loader, MLXLoader):
        raise ValueError(
            f"the strategy 'data_subsamples' draws rows from an MLXLoader, got {type(loader).__name__}; "
            "use pipeline.make_loader, or the strategy 'different_seeds'"
        )
    return loader.sample(fraction, seed)
