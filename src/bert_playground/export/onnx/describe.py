"""describe_graphs: what ONNX files take, give and are made of, without computing them."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

REPORT = "export_report.json"


def describe_graphs(paths: Sequence[Path]) -> dict[str, Any]:
    """Sections as `bert model inspect` prints them; of several graphs the first is described, and all are listed.

    Raises:
        ValueError: a file is no ONNX, or cut off.
    """
    graphs = [_read(path) for path in paths]
    model, graph = graphs[0], graphs[0].graph
    weights = [_describe_weight(weight, paths[0].name) for weight in graph.initializer]
    counts = Counter(node.op_type for node in graph.node)
    sizes = Counter[str]()
    for weight in weights:
        sizes[weight["dtype"]] += int(np.prod(weight["shape"], dtype=np.int64))
    report = paths[0].parent / REPORT
    report = report if report.is_file() else paths[0].parent.parent / REPORT
    return {
        "model": {
            "format": "onnx",
            "description": graph.doc_string or None,
            "producer": f"{model.producer_name} {model.producer_version}".strip() or None,
            "ir_version": model.ir_version,
            "opset": {each.domain or "ai.onnx": each.version for each in model.opset_import},
        },
        "inputs": {value.name: _describe_value(value) for value in graph.input},
        "outputs": {value.name: _describe_value(value) for value in graph.output},
        "operators": {"all": len(graph.node), **dict(counts.most_common())},
        "parameters": {"all": sum(sizes.values()), **dict(sizes.most_common())},
        "compared": _describe_report(report) if report.is_file() else {},
        "files": {f"{path.parent.name}/{path.name}_bytes": _bytes_of(path) for path in paths},
        "layers": [],
        "weights": weights,
    }


def _read(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf raises a class of its own
        raise ValueError(f"{path} is no ONNX graph, or cut off: {error}; copy it again") from error
    if not model.graph.node:
        raise ValueError(f"{path} is no ONNX graph: it has no nodes; copy it again")
    return model


def _bytes_of(path: Path) -> int:
    beside = (path.with_name(f"{path.name}{ending}") for ending in ("_data", ".data"))
    return sum(each.stat().st_size for each in (path, *beside) if each.is_file())


def _describe_value(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    axes = [axis.dim_param or str(axis.dim_value) for axis in tensor.shape.dim]
    return f"{TensorProto.DataType.Name(tensor.elem_type).lower()} [{', '.join(axes)}]"


def _describe_weight(weight: onnx.TensorProto, file: str) -> dict[str, Any]:
    dtype = TensorProto.DataType.Name(weight.data_type).lower()
    return {"name": weight.name, "shape": list(weight.dims), "dtype": dtype, "file": file}


def _describe_report(path: Path) -> dict[str, Any]:
    report = json.loads(path.read_text(encoding="utf-8"))
    names = ("dtype", "compared_on", "largest_logit_difference", "largest_score_difference")
    return {name: report.get(name) for name in names}
