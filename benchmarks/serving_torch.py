"""The server that people write in an afternoon: FastAPI, transformers and torch, for benchmarks/serving.py.

PYTHON_WITH_TORCH benchmarks/serving_torch.py FOLDER PORT
"""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

FOLDER, PORT = sys.argv[1], int(sys.argv[2])
tokenizer = PreTrainedTokenizerFast(
    tokenizer_file=f"{FOLDER}/tokenizer/tokenizer.json",
    pad_token="[PAD]",
    cls_token="[CLS]",
    sep_token="[SEP]",
)
model = AutoModelForSequenceClassification.from_pretrained(FOLDER).eval()
app = FastAPI()


class Asked(BaseModel):
    """Texts."""

    inputs: list[list[str]]


@app.post("/predict")
def predict(asked: Asked) -> list[list[dict]]:
    """Labels with probabilities, the most probable first."""
    texts = [each[0] for each in asked.inputs]
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    with torch.inference_mode():
        rows = model(**tokens).logits.softmax(dim=-1).tolist()
    names = model.config.id2label
    scored = [[{"label": names[i], "score": p} for i, p in enumerate(row)] for row in rows]
    return [sorted(each, key=lambda one: -one["score"]) for each in scored]


@app.get("/health")
def check_health() -> str:
    """Ready once the model is loaded."""
    return "ok"


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error", access_log=False)
