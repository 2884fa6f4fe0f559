"""BertModel: a checkpoint as MLflow calls it: a pandas frame of raw rows in, what `bert predict` writes out."""

# MLflow copies this file into each model and runs it there, so it imports by full names only.
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import pandas as pd


class BertModel(mlflow.pyfunc.PythonModel):
    """The predictor of the checkpoint among the model's artifacts.

    It lives in a thread of its own: MLX computes only where a model was loaded, and a server asks from any thread.
    """

    def load_context(self, context: Any) -> None:
        """Read the checkpoint, whatever it is: one model, an ensemble, or a blend of folds."""
        from concurrent.futures import ThreadPoolExecutor

        from bert_playground.ensemble_predictor import load_predictor
        from bert_playground.mlx_threads import wait_at_exit

        self.thread = ThreadPoolExecutor(1, thread_name_prefix="mlx", initializer=wait_at_exit)
        checkpoint = Path(context.artifacts["checkpoint"])
        self.predictor = self.thread.submit(load_predictor, checkpoint).result()

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A pandas frame with the id, or the number of each row from 0 on, and the answers.

        Args:
            context: not read again.
            model_input: a pandas frame of rows, columns as in the training table; those that no model reads are ignored.
            params: "proba": one column for each class in place of the answer; "tta": ways to write each row.
        """
        from bert_playground.data.reading.table import read_table
        from bert_playground.predict_table import answer_rows
        from bert_playground.tracking.frames import to_pandas

        asked = params or {}
        answers = self.thread.submit(
            answer_rows,
            self.predictor,
            read_table(model_input),
            probabilities=bool(asked.get("proba", False)),
            num_variants=int(asked.get("tta", 1)),
        )
        return to_pandas(answers.result())


mlflow.models.set_model(BertModel())
