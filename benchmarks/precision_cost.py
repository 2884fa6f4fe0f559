"""What bf16 and int8 cost in answers: one fine-tuned binary classifier at each precision, ours and OpenVINO's.

    uv run python benchmarks/precision_cost.py CHECKPOINT TABLE [--peer-python PATH]

`CHECKPOINT` is a folder or run of `bert train` on a binary target, `TABLE` a CSV with the target. For each precision: accuracy,
and how far P(class 1) is from our f32 answer, in the mean and at most. `--peer-python` is an interpreter with torch, transformers,
openvino and nncf; the peers then score the same token ids, int8 by static post-training quantization calibrated on 256 of the
rows. They know heads that pool `mean` or `cls` and have no hidden layer.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PRECISIONS = ("f32", "bf16", "int8")
Answers = dict[str, np.ndarray]


def our_answers(checkpoint: Path, table: Path) -> tuple[Answers, np.ndarray, dict]:
    """P(class 1) of each row at each precision, the labels, and the padded token ids and masks."""
    import polars as pl

    from bert_playground.inference import Predictor

    frame = pl.read_csv(table)
    answers: Answers = {}
    for precision in PRECISIONS:
        predictor = Predictor.load(checkpoint, precision=precision)
        predictions = predictor.score(frame)
        answers[f"ours {precision}"] = predictions.scores
    labels = predictions.labels
    ids = np.zeros((frame.height, predictor.pipeline.max_length), np.int64)
    mask = np.zeros_like(ids)
    for batch in predictor.pipeline.make_loader(frame, batch_size=128):
        ends = np.array(batch.tokens.cu_seqlens)
        flat = np.array(batch.tokens.input_ids)
        for row, start, end in zip(np.array(batch.rows), ends[:-1], ends[1:], strict=True):
            ids[row, : end - start] = flat[start:end]
            mask[row, : end - start] = 1
    longest = mask.sum(axis=1).max()
    rows = {"ids": ids[:, :longest], "mask": mask[:, :longest], "folder": str(predictor.checkpoint)}
    return answers, labels, rows


def peer_answers(rows: dict) -> Answers:
    """P(class 1) of the same rows by OpenVINO at each precision; runs in the peers' interpreter."""
    import nncf
    import openvino
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel

    folder = Path(str(rows["folder"]))
    head = json.loads((folder / "config.json").read_text())["head"]
    weights = load_file(folder / "model.safetensors")

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(folder)
            self.weight, self.bias = weights["classifier.weight"], weights["classifier.bias"]

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            real = mask[..., None].float()
            mean = (hidden * real).sum(1) / real.sum(1)
            pooled = mean if head["pooling"] == "mean" else hidden[:, 0]
            return torch.softmax(pooled @ self.weight.T + self.bias, -1)[:, 1]

    ids, mask = rows["ids"], rows["mask"]
    example = (torch.from_numpy(ids[:8]), torch.from_numpy(mask[:8]))
    with torch.inference_mode():
        model = openvino.convert_model(Classifier().eval(), example_input=example)
    samples = [(ids[i : i + 8], mask[i : i + 8]) for i in range(0, 256, 8)]
    answers: Answers = {}
    for precision in PRECISIONS:
        if precision == "int8":
            model = nncf.quantize(
                model, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER, subset_size=32
            )
        hint = "f32" if precision == "f32" else "bf16"
        request = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
        parts = [request((ids[i : i + 128], mask[i : i + 128]))[0] for i in range(0, len(ids), 128)]
        answers[f"OpenVINO {precision}"] = np.concatenate(parts)
    return answers


def print_costs(answers: Answers, labels: np.ndarray) -> None:
    """One Markdown row for each precision."""
    print("| precision | accuracy | answers that change sides | mean, max of P - P(f32) |")
    print("|---|--:|--:|---|")
    exact = answers["ours f32"]
    for name, scores in answers.items():
        distance = np.abs(scores - exact)
        changed = int(((scores > 0.5) != (exact > 0.5)).sum())
        accuracy = ((scores > 0.5) == labels).mean()
        print(
            f"| {name} | {accuracy:.4f} | {changed} | {distance.mean():.5f}, {distance.max():.4f} |"
        )


def main() -> None:
    """Score at every precision, the peers' in their own process, and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--peer-python")
    parser.add_argument("--as-peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_peer:  # checkpoint: our rows; table: where the answers go
        np.savez(options.table, **peer_answers(dict(np.load(options.checkpoint))))
        return
    answers, labels, rows = our_answers(options.checkpoint, options.table)
    if options.peer_python:
        with tempfile.TemporaryDirectory() as folder:
            given, taken = Path(folder, "rows.npz"), Path(folder, "answers.npz")
            np.savez(given, **rows)
            command = [options.peer_python, __file__, str(given), str(taken), "--as-peer"]
            subprocess.run(command, check=True, stdout=sys.stderr)
            answers |= dict(np.load(taken))
    print_costs(answers, labels)


if __name__ == "__main__":
    main()
