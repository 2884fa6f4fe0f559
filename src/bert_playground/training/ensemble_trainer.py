"""EnsembleTrainer: the members of an ensemble, trained one after another on the same loaders."""

from pathlib import Path

import mlx.core as mx
from loguru import logger

from bert_playground.config.schema import RunConfig
from bert_playground.data.core.types import Loader
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.models.ensemble import Ensemble, vary, write_manifest
from bert_playground.runs import RunDir
from bert_playground.training.build import make_trainer
from bert_playground.training.core import TrainState


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
        states, kept = [], []
        for number, (member, variation) in enumerate(zip(members, variations, strict=True), 1):
            seed = self.config.training.seed + variation.seed_offset
            data, run = train_data, RunDir.create(self.run.path / "members")
            if variation.sample_fraction is not None:
                data = _sample(train_data, variation.sample_fraction, seed)
            logger.info(f"member {number} of {len(members)}: seed {seed}, {data.num_rows} rows")
            mx.random.seed(seed)
            num_rows = self.num_rows or data.num_rows
            trainer = make_trainer(member, self.config, pipeline=None, run=run, num_rows=num_rows)
            states.append(trainer.train(data, val_data))
            kept += [folder for folder in (run.best, run.final) if folder.is_dir()][:1]
        if len(kept) == len(members):
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
