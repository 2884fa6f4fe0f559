"""RowEncoder: a checkpoint as an encoder of rows: text, tokens, one pooled vector for each."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground import kernels
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.templates.row_text import RowText, load_row_text
from bert_playground.documents import read_json
from bert_playground.estimators.fitted_model import FittedModel
from bert_playground.inference import evaluation_mode
from bert_playground.lookup import look_up
from bert_playground.memory import fit_cache_limit
from bert_playground.models.bert import Encoder
from bert_playground.models.heads.pooling import POOLINGS
from bert_playground.models.hub_files import CONFIG
from bert_playground.models.huggingface import load_encoder, read_pretrained

Array = np.ndarray[Any, Any]
BATCH = 128


@dataclass(frozen=True)
class RowEncoder:
    """An encoder, the way its rows become tokens, and how their vectors are pooled."""

    encoder: Encoder
    text: RowText
    pooling: str

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a checkpoint of `bert train` or `bert pretrain`, or what `RowEncoderFolder.of_text` wrote.

        Vectors are pooled as its head does, or as a sentence-transformers folder says; else they are averaged.
        """
        pretrained = read_pretrained(folder)
        head = read_json(folder / CONFIG).get("head") or {}
        asked = pretrained.pooling or head.get("pooling")
        pooling = asked if asked in POOLINGS else "mean"
        encoder = load_encoder(pretrained)
        encoder.dtype = kernels.activation_dtype("auto")
        return cls(encoder, load_row_text(folder), pooling)

    def embed(self, frame: pl.DataFrame, pooling: str | None = None) -> Array:
        """One vector for each row, in their order: [R, H] in f32.

        Args:
            frame: the rows.
            pooling: cls, mean or max; None: the checkpoint's own.

        Raises:
            ValueError: a column is missing, or there is no such pooling.
        """
        pool = look_up(POOLINGS, pooling or self.pooling, "pooling")
        table = self.text.encode(frame)._replace(numbers=self.text.encode_numbers(frame))
        loader = MLXLoader(
            table,
            batch_size=BATCH,
            layout="packed" if kernels.is_native() else "padded",
            pad_token_id=self.text.pad_token_id,
        )
        vectors = np.empty((frame.height, self.encoder.hidden_size), dtype=np.float32)
        with evaluation_mode(self.encoder):
            for batch in loader:
                pooled = pool(self.encoder.encode(batch.tokens), batch.tokens).astype(mx.float32)
                mx.eval(pooled)
                fit_cache_limit()
                vectors[np.array(batch.rows)] = np.array(pooled)
        return vectors


class RowEncoderFolder(FittedModel):
    """As `FittedModel`, read as an encoder alone."""

    @classmethod
    def of_text(cls, checkpoint: Path, text: RowText) -> Self:
        """Copy a pretrained checkpoint, and lay the text of these rows beside it."""
        own = Path(tempfile.mkdtemp(prefix="bert_"))
        for path in checkpoint.iterdir():
            if path.suffix in (".json", ".txt", ".safetensors"):
                shutil.copyfile(path, own / path.name)
        pooling = checkpoint / "1_Pooling"
        if pooling.is_dir():
            shutil.copytree(pooling, own / pooling.name)
        text.save(own)
        return cls(own)

    def load(self) -> RowEncoder:
        """Read the encoder."""
        return RowEncoder.load(self.folder)

    @property
    def row_encoder(self) -> RowEncoder:
        """The encoder that was read."""
        encoder: RowEncoder = self._loaded
        return encoder
