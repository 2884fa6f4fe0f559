"""The peers' side of versus_peers.py: torch eager or compiled, OpenVINO, onnxruntime. Runs in the peers' own interpreter."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from workload import SIZES, make_rows, serve


class Layer(nn.Module):
    """One post-norm BERT encoder layer, eager torch, separate projections."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-12), nn.LayerNorm(width, 1e-12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, H] to [B, T, H]."""
        batch, length, width = x.shape
        query, key, value = (
            part(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        context = functional.scaled_dot_product_attention(query, key, value)
        x = self.norm1(x + self.out(context.transpose(1, 2).reshape(batch, length, width)))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))


def layer_step(case: dict) -> Callable[[], object]:
    """Forward, or forward and backward to input and all parameters with a given cotangent."""
    _, width, _, heads, inner = SIZES["bert-base"]
    layer = Layer(width, heads, inner)
    call = torch.compile(layer) if case["side"] == "torch-compile" else layer
    x = torch.randn(case["batch"], case["length"], width)
    low = case["dtype"] == "bf16"
    if not case["backward"]:
        if low:  # in place, so `call` sees it too
            layer, x = layer.bfloat16(), x.bfloat16()

        def forward() -> object:
            with torch.inference_mode():
                return call(x)

        return forward
    x.requires_grad_()
    cotangent = torch.randn(x.shape)

    def both() -> object:
        layer.zero_grad(set_to_none=True)
        x.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            y = call(x)
        y.backward(cotangent.to(y.dtype))

    return both


def adamw_step(case: dict) -> Callable[[], object]:
    """The fused AdamW on 110 arrays of a million parameters."""
    parameters = [nn.Parameter(torch.randn(1_000_000)) for _ in range(110)]
    for parameter in parameters:
        parameter.grad = torch.randn(1_000_000)
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, weight_decay=0.01, fused=True)
    return optimizer.step


def train_step(case: dict, model: nn.Module) -> Callable[[], object]:
    """Forward, backward and fused AdamW; bf16 is autocast over f32 weights."""
    ids, mask, labels = (torch.from_numpy(part) for part in make_rows(case))
    mask = None if bool(mask.all()) else mask
    model.train()
    call = torch.compile(model) if case["side"] == "torch-compile" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, fused=True)

    def step() -> object:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=case["dtype"] == "bf16"):
            loss = functional.cross_entropy(call(ids, mask).float(), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def torch_infer_step(case: dict, model: nn.Module) -> Callable[[], object]:
    """Forward with all weights in the asked type."""
    ids, mask, _ = (torch.from_numpy(part) for part in make_rows(case))
    model = model.eval().bfloat16() if case["dtype"] == "bf16" else model.eval()

    def step() -> object:
        with torch.inference_mode():
            return model(ids, mask)

    return step


def openvino_step(case: dict, model: nn.Module) -> Callable[[], object]:
    """OpenVINO's CPU plug-in with the asked precision hint.

    int8 is its static post-training quantization, or for `openvino-dynamic` int8 weights with activations quantized as they come.
    """
    import openvino

    ids, mask, _ = make_rows(case)
    converted = openvino.convert_model(
        model.eval(), example_input=(torch.from_numpy(ids), torch.from_numpy(mask))
    )
    settings = {
        "INFERENCE_PRECISION_HINT": "f32" if case["dtype"] == "f32" else "bf16",
        "INFERENCE_NUM_THREADS": case["threads"],
    }
    if case["side"] == "openvino-dynamic":
        import nncf

        converted = nncf.compress_weights(converted, mode=nncf.CompressWeightsMode.INT8_SYM)
        settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 128
    elif case["dtype"] == "int8":
        import nncf

        samples = [(ids[:4], mask[:4])]
        converted = nncf.quantize(
            converted, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER, subset_size=4
        )
    request = openvino.Core().compile_model(converted, "CPU", settings).create_infer_request()
    return lambda: request.infer((ids, mask))


def onnxruntime_step(case: dict, model: nn.Module) -> Callable[[], object]:
    """onnxruntime; it has no bf16 on CPU, so f32 stands for it there, and int8 is its dynamic quantization."""
    import onnxruntime

    ids, mask, _ = make_rows(case)
    folder = Path(tempfile.mkdtemp())
    path = folder / "model.onnx"
    torch.onnx.export(
        model.eval(),
        (torch.from_numpy(ids), torch.from_numpy(mask)),
        str(path),
        dynamo=True,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
    )
    if case["dtype"] == "int8":
        from onnxruntime.quantization import quantize_dynamic

        whole, path = path, folder / "int8.onnx"
        quantize_dynamic(whole, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case["threads"]
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {"input_ids": ids, "attention_mask": mask}
    return lambda: session.run(None, feed)


def main() -> None:
    """Build the asked work, then answer the driver."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--definitions", required=True)
    parser.add_argument("--case", required=True)
    options = parser.parse_args()
    case = json.loads(options.case)
    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    np.random.seed(0)
    if case["kind"] in ("layer", "adamw"):
        step = layer_step(case) if case["kind"] == "layer" else adamw_step(case)
    else:
        sys.path.insert(0, options.definitions)
        from torch_models import build

        makers = {
            "openvino": openvino_step,
            "openvino-dynamic": openvino_step,
            "onnxruntime": onnxruntime_step,
        }
        maker = (
            train_step if case["kind"] == "train" else makers.get(case["side"], torch_infer_step)
        )
        step = maker(case, build(case["model"]))
    serve(step, {"torch": torch.__version__, "peer": case["side"]})


if __name__ == "__main__":
    main()
