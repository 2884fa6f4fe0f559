"""EnsembleTrainer: the members of an ensemble, trained one after another on the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from bert_playground.config.schema import RunConfig
from bert_playground.data.core.types import Loader
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.logger import logger
from bert_playground.models.ensemble import Ensemble, Variation, vary, write_manifest
from bert_playground.run_lock import hold_run
from bert_playground.runs import RunDir
from bert_playground.training.build import make_trainer
from bert_playground.training.core import TrainState
from bert_playground.training.evaluation.thresholds import tune_thresholds
from bert_playground.training.fit_data import (
    FittedData,
    check_model,
    fit_data,
    label_names,
    wants_thresholds,
)
from bert_playground.training.ignored_settings import RunFacts, log_ignored_settings
from bert_playground.training.match_classes import match_classes
from bert_playground.training.members import fit_members
from bert_playground.training.report import conclude
from bert_playground.training.start import start_run, write_run_config
from bert_playground.training.track_run import track_run


class EnsembleTrainer:
    """Train each member as a run of its own.

    Args:
        ensemble: of models with random or pretrained weights; trained in place.
        config: as for a single model; each member counts its own seed on from `training.seed`.
        sources: for each dotted path of the configuration where its value came from.
        num_rows: of the training data; None: as many as there are.

    Attributes:
        run: the folder of the last training; it gets a run folder per member and ensemble.json. None before `train`.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        config: RunConfig,
        sources: Mapping[str, str] | None = None,
        num_rows: int | None = None,
    ) -> None:
        self.ensemble = ensemble
        self.config = config
        self.sources = dict(sources or {})
        self.num_rows = num_rows
        self.run: RunDir | None = None

    def train(self, train_data: Any = None, val_data: Any = None) -> list[TrainState]:
        """Train all members on the same rows; with the strategy data_subsamples, each on rows of its own.

        Args:
            train_data: loaders or rows, as for `ModelTrainer.train`.
            val_data: likewise.

        Returns:
            The state of each member at its end.

        Raises:
            TypeError: the data is nothing of these.
            ValueError: data_subsamples with a loader that cannot be sampled, or rows that do not fit the models.
        """
        data = self._fit_data(train_data, val_data)
        run = RunDir.create(self.config.training.output_dir)
        try:
            write_run_config(run, self.config, self.sources)
            for note in data.notes:
                logger.info(note)
            with hold_run(run), track_run(run, self.config, self.sources):
                states = self._fit_members(data, run)
                self.run = run
                if self.config.training.report:
                    conclude.write_late(run, data.prepared)
            return states
        finally:
            run.discard_unused()

    def _fit_data(self, train_data: Any, val_data: Any) -> FittedData:
        first, *others = self.ensemble.members
        smallest = min(self.ensemble.members, key=lambda model: model.encoder.config.vocab_size)
        shortest = min(member.encoder.max_length for member in self.ensemble.members)
        if len({member.pretrained_dir for member in self.ensemble.members}) > 1:
            raise ValueError(
                "the members come with tokenizers of their own; make an ensemble of one checkpoint, or of random weights"
            )
        data = fit_data(smallest, self.config, train_data, val_data, self.sources)
        if data.pipeline is not None:
            for member in (first, *others):
                check_model(member, data.pipeline)
                match_classes(member, data.pipeline)
            if data.pipeline.max_length > shortest:
                raise ValueError(
                    f"rows have up to {data.pipeline.max_length} tokens, but a member has {shortest} positions; ask for "
                    f"data.max_length {shortest}"
                )
        return data

    def _fit_members(self, data: FittedData, run: RunDir) -> list[TrainState]:
        members, strategy = self.ensemble.members, self.ensemble.strategy
        # Architectures and heads are settled already; what is left are seeds and rows.
        variations = vary(strategy or "different_seeds", len(members), "bert")
        runs: list[RunDir] = []

        def fit_member(number: int, variation: Variation) -> TrainState:
            seed = self.config.training.seed + variation.seed_offset
            rows = data.train
            if variation.sample_fraction is not None:
                rows = _sample(rows, variation.sample_fraction, seed)
            runs.append(RunDir.create(run.path / "members"))
            write_run_config(runs[-1], self.config, self.sources)
            with track_run(runs[-1], self.config, self.sources):
                return fit_in(runs[-1], number, seed, rows)

        def fit_in(folder: RunDir, number: int, seed: int, rows: Loader) -> TrainState:
            start_run(folder, self.config)
            mx.random.seed(seed)
            trainer = make_trainer(
                members[number],
                self.config,
                pipeline=data.pipeline,
                run=folder,
                num_rows=self.num_rows or rows.num_rows,
                judged_by=data.pipeline.schema.metric if data.pipeline else None,
            )
            if number == 0:
                facts = RunFacts(
                    members[number].head.task,
                    rows.num_rows,
                    len(rows),
                    trainer.loop.epochs,
                    is_compiled=trainer.loop.use_compilation,
                    has_validation=data.val is not None,
                    has_rows=data.pipeline is not None,
                    is_ready_made=True,
                )
                log_ignored_settings(self.config, self.sources, facts)
            state = trainer.train(rows, data.val)
            if data.val is not None and wants_thresholds(members[number], self.config):
                names = label_names(members[number], data.pipeline)
                tune_thresholds(folder, names, data.val, members[number])
            return state

        def write_members(states: Sequence[TrainState]) -> None:
            kept = [folder for each in runs if (folder := each.kept) is not None]
            if len(kept) == len(runs):
                weights = self.ensemble.weights if len(kept) == len(members) else None
                write_manifest(run.path, kept, weights=weights, strategy=strategy)

        return fit_members(
            variations, fit_member, seed=self.config.training.seed, on_fitted=write_members
        )

    @property
    def path(self) -> Path:
        """The folder that `Ensemble.load` reads afterwards, unless checkpoints were turned off.

        Raises:
            ValueError: nothing was trained yet.
        """
        if self.run is None:
            raise ValueError("nothing was trained yet; call train(train_data, val_data) first")
        return self.run.path


def _sample(loader: Loader, fraction: float, seed: int) -> Loader:
    if not isinstance(loader, MLXLoader):
        raise ValueError(
            f"the strategy 'data_subsamples' draws rows from an MLXLoader, got {type(loader).__name__}; "
            "use pipeline.make_loader, or the strategy 'different_seeds'"
        )
    return loader.sample(fraction, seed)
