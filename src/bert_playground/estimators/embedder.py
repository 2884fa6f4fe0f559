"""BertEmbedder: the pooled vector of each row, as a transformer in scikit-learn's manner."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import polars as pl
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from bert_playground.config import RunConfig
from bert_playground.data.prepare import choose_text_options
from bert_playground.data.templates.fit_numbers import fit_numbers
from bert_playground.data.templates.row_text import PIPELINE, fit_row_text
from bert_playground.estimators.model import Array, BertModel
from bert_playground.estimators.progress import shown_progress
from bert_playground.estimators.row_encoder import RowEncoderFolder
from bert_playground.estimators.rows import is_frame
from bert_playground.estimators.settings import keep_best_only, read_settings
from bert_playground.models.hub_files import fetch_folder
from bert_playground.models.sentence_folder import find_encoder_folder
from bert_playground.runs import find_checkpoint
from bert_playground.training.pretraining import run_pretraining


class BertEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BertModel):
    """An encoder as a transformer: rows in, the pooled vector of each out.

    A checkpoint that `model` names is taken as it is; without one an encoder is pretrained on the rows of `fit`, by masked
    tokens, as `bert pretrain` does. No label is read.

    Args:
        model: a checkpoint folder or Hub id; or bert, modernbert, neobert to pretrain one; None: modernbert.
        pooling: cls, mean or max over the tokens of a row; None: as the checkpoint says, else mean.
        config: further settings: see `BertClassifier`.
        epochs: of pretraining.
        batch_size: rows per batch of pretraining.
        learning_rate: of pretraining.
        max_length: most tokens of a row.
        random_state: of pretraining.
        output_dir: where the run folder of pretraining stays; None: nowhere.
        verbose: as for `BertClassifier`.

    Attributes:
        checkpoint_: the encoder.
        summary_: of the pretraining; None: a checkpoint was taken as it is.
        n_features_in_: columns of X.
        feature_names_in_: their names, where they have some.
    """

    checkpoint_: RowEncoderFolder

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        pooling: str | None = None,
        config: str | Path | Mapping[str, Any] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_length: int | None = None,
        random_state: Any = None,
        output_dir: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.config = config
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_length = max_length
        self.random_state = random_state
        self.output_dir = output_dir
        self.verbose = verbose

    @classmethod
    def from_checkpoint(cls, folder: str | Path, **parameters: Any) -> Self:
        """The encoder of what `bert train`, `bert pretrain` or `to_checkpoint` wrote.

        Raises:
            FileNotFoundError: there is no checkpoint.
            ValueError: it is none of one encoder that reads rows.
        """
        found = find_checkpoint(Path(folder))
        if not (found / PIPELINE).is_file():
            raise ValueError(
                f"{found} has no {PIPELINE}, which says how a row becomes text; name it as model, and call fit with rows"
            )
        embedder = cls(**parameters)
        embedder.checkpoint_ = RowEncoderFolder.copy_of(found)
        embedder._settle(None)
        return embedder

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 (scikit-learn's name)
        """Learn how these rows become text, and, without a checkpoint, an encoder of them; y is not read.

        Raises:
            ValueError: rows or parameters do not fit; says what to do.
        """
        frame = self._read_fit_rows(X, least=2)
        output_dir = Path(self.output_dir) if self.output_dir else None
        config, sources = read_settings(self.get_params(deep=False), output_dir)
        if not is_frame(X):
            config = config.with_changes({"data": {"id_column": "none"}})
        if config.model.pretrained is None:
            self._pretrain(frame, config, sources, output_dir)
        else:
            folder = find_encoder_folder(fetch_folder(config.model.pretrained))
            options = choose_text_options(config.data)
            known: dict[str, Any] = {"skip": (), "id_column": None, "pretrained_dir": folder}
            text = fit_row_text(frame, options, **known)
            text = fit_numbers(text, frame, options, beside=False, **known)
            self.checkpoint_ = RowEncoderFolder.of_text(folder, text)
            self._settle(None)
        return self

    def transform(self, X: Any) -> Array:  # noqa: N803
        """The vector of each row, [R, H] in f32."""
        return self.checkpoint_.row_encoder.embed(self._read_later_rows(X), self.pooling)

    def _pretrain(
        self,
        frame: pl.DataFrame,
        config: RunConfig,
        sources: Mapping[str, str],
        output_dir: Path | None,
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="bert_") as temporary:
            table = Path(temporary) / "rows.parquet"
            frame.write_parquet(table)
            changes: dict[str, dict[str, Any]] = {
                "data": {"train": table},
                "pretraining": {"has_target": False},
            }
            config = config.with_changes(changes)
            if output_dir is None:
                config = config.with_changes(keep_best_only(Path(temporary)))
            with shown_progress(self.verbose):
                result = run_pretraining(config, sources)
            assert result.run_dir.kept is not None
            self.checkpoint_ = RowEncoderFolder.copy_of(result.run_dir.kept)
        self._settle({key: value for key, value in result.summary.items() if key != "files"})

    def _settle(self, summary: dict[str, Any] | None) -> None:
        self.summary_ = summary
        self._n_features_out = int(self.checkpoint_.row_encoder.encoder.hidden_size)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
