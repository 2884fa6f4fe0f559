"""ModelTrainer: trains a model of one's own on rows or loaders, each time as a run of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_playground.config.schema import RunConfig
from bert_playground.data.core.types import Loader
from bert_playground.data.reading.examples import read_examples
from bert_playground.logger import logger
from bert_playground.logs import log_to_file
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.run_lock import hold_run
from bert_playground.runs import RunDir
from bert_playground.training.build import make_trainer
from bert_playground.training.core import Callback, Trainer, TrainState
from bert_playground.training.core.trainer import evaluate_model
from bert_playground.training.evaluation.thresholds import tune_thresholds
from bert_playground.training.fit_data import (
    FittedData,
    fit_data,
    is_loader,
    label_names,
    table_paths,
    wants_thresholds,
)
from bert_playground.training.ignored_settings import RunFacts, log_ignored_settings
from bert_playground.training.metrics import make_scorer
from bert_playground.training.report.conclude import conclude_run
from bert_playground.training.start import start_run, write_run_config
from bert_playground.training.summary import summarise
from bert_playground.training.track_run import track_run, track_tables

if TYPE_CHECKING:
    from bert_playground.data.pipeline import TextPipeline

UNKNOWN_ROWS = 1000  # of a loader, from which epochs are chosen where nobody says how many it has


class ModelTrainer:
    """Train a model on what people have, and write a run folder as `bert train` does.

    Args:
        model: with its head; trained in place.
        config: what was asked for.
        sources: for each dotted path of the configuration where its value came from.
        num_rows: of a loader, from which epochs are chosen where the configuration leaves them open.

    Attributes:
        callbacks: more of them, told after the usual ones.
        run: the folder of the last run; None before `train`.
        pipeline: how rows are read; None before `train`, and with loaders.
    """

    def __init__(
        self,
        model: BertWithHead,
        config: RunConfig,
        sources: Mapping[str, str] | None = None,
        num_rows: int | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.sources = dict(sources or {})
        self.num_rows = num_rows
        self.run: RunDir | None = None
        self.pipeline: TextPipeline | None = None
        self._added: list[Callback] = []
        self._trainer: Trainer | None = None
        self._checkpoint: Path | None = None

    def train(self, train_data: Any = None, val_data: Any = None) -> TrainState:
        """Train to the end, and return the state.

        Args:
            train_data: a path, a Polars or pandas frame, a list of dicts, a dict of columns, (texts, labels), a dataset
                with `len()` whose items are dicts or pairs, or a loader; None: `data.train` of the configuration.
            val_data: likewise; None: rows are split off as the configuration says, and a loader is not validated.

        Raises:
            TypeError: the data is nothing of these.
            ValueError: the rows are faulty, or do not fit the model; no run folder is left behind.
            KeyboardInterrupt: Ctrl-C, after a clean save.
        """
        data = fit_data(self.model, self.config, train_data, val_data, self.sources)
        paths = table_paths(train_data, val_data, self.config.data) if data.pipeline else {}
        config = self.config.model_copy(
            update={"data": self.config.data.model_copy(update=dict(paths))}
        )
        run = RunDir.create(config.training.output_dir)
        try:
            write_run_config(run, config, self.sources)
            with (
                hold_run(run),
                log_to_file(run.train_log),
                track_run(run, config, self.sources),
            ):
                return self._fit(data, config, run)
        except KeyboardInterrupt as interrupt:
            if saved := run.resumable():
                interrupt.add_note(
                    f"saved; go on with resume({str(saved[-1])!r}) and the same train"
                )
            raise
        finally:
            run.discard_unused()

    def evaluate(self, data: Any) -> dict[str, float]:
        """The loss and the metrics of the model, as it is now, on labelled rows: a loader, or rows as those trained on.

        Raises:
            ValueError: rows before any training on rows, or rows without labels.
        """
        if self._trainer is not None:
            return self._trainer.evaluate(self._load(data))
        return evaluate_model(self.model, self._load(data), make_scorer(self.model.head.task))

    def resume(self, folder: str | Path) -> None:
        """Let the next `train` continue from a resumable checkpoint, exactly where it was taken."""
        self._checkpoint = Path(folder)

    def save(self, folder: str | Path) -> None:
        """Write what `resume` reads into an existing folder.

        Raises:
            ValueError: nothing was trained yet.
        """
        self._require_trained().save(Path(folder))

    @property
    def callbacks(self) -> list[Callback]:
        """Before training those that were added, afterwards all."""
        return self._added if self._trainer is None else self._trainer.callbacks

    @property
    def state(self) -> TrainState:
        """Of the last training."""
        return TrainState() if self._trainer is None else self._trainer.state

    @property
    def path(self) -> Path:
        """The folder of the last run, which `Predictor.load` reads where rows were trained on.

        Raises:
            ValueError: nothing was trained yet.
        """
        self._require_trained()
        assert self.run is not None
        return self.run.path

    def _require_trained(self) -> Trainer:
        if self._trainer is None:
            raise ValueError("nothing was trained yet; call train(train_data, val_data) first")
        return self._trainer

    def _fit(self, data: FittedData, config: RunConfig, run: RunDir) -> TrainState:
        start_run(run, config)
        for note in data.notes:
            logger.info(note)
        if data.pipeline is not None:
            num_val = None if data.val is None else data.val.num_rows
            columns, targets = data.pipeline.columns, data.pipeline.targets
            track_tables(config, list(columns), targets, data.train.num_rows, num_val)
        trainer = make_trainer(
            self.model,
            config,
            pipeline=data.pipeline,
            run=run,
            num_rows=self.num_rows or (data.train.num_rows if data.pipeline else UNKNOWN_ROWS),
            judged_by=data.pipeline.schema.metric if data.pipeline else None,
        )
        trainer.callbacks += self._added
        if self._checkpoint is not None:
            trainer.resume(self._checkpoint)
            self._checkpoint = None
        facts = RunFacts(
            self.model.head.task,
            data.train.num_rows,
            len(data.train),
            trainer.loop.epochs,
            is_compiled=trainer.loop.use_compilation,
            max_length=data.pipeline.max_length if data.pipeline else None,
            has_validation=data.val is not None,
            has_rows=data.pipeline is not None,
            is_ready_made=True,
        )
        log_ignored_settings(config, self.sources, facts)
        self.run, self.pipeline, self._trainer = run, data.pipeline, trainer
        state = trainer.train(data.train, data.val)
        self._conclude(data, config, run, trainer)
        return state

    def _conclude(self, data: FittedData, config: RunConfig, run: RunDir, trainer: Trainer) -> None:
        """Thresholds and summary, as of `bert train`."""
        summary: dict[str, Any] = {}
        if data.pipeline is not None and data.val is not None:
            is_pretrained = self.model.pretrained_dir is not None
            summary = summarise(
                run, trainer, data.pipeline, data.train, data.val, is_pretrained=is_pretrained
            )
        if data.val is not None and wants_thresholds(self.model, config):
            names = label_names(self.model, data.pipeline)
            summary["thresholds"] = tune_thresholds(run, names, data.val, self.model)
        if summary:
            conclude_run(run, summary, data.prepared, has_report=config.training.report)
        if run.kept is not None:
            logger.info(f"checkpoint: {run.kept}")

    def _load(self, data: Any) -> Loader:
        if is_loader(data):
            return data
        if self.pipeline is None:
            raise ValueError(
                "rows can be evaluated after they were trained on; before, give a loader of tokens"
            )
        frame = read_examples(data, self.pipeline.target).frame
        frame = self.pipeline.rows_with_labels(frame)
        return self.pipeline.make_loader(frame, batch_size=self.config.training.eval_batch_size)
