"""Models as ONNX graphs, without torch: built, compared, written and asked; importing this needs no extra."""

from bert_playground.export.onnx.doors import export_onnx as export_onnx
from bert_playground.export.onnx.doors import find_graphs as find_graphs
from bert_playground.export.onnx.doors import inspect_onnx as inspect_onnx
from bert_playground.export.onnx.doors import is_onnx_folder as is_onnx_folder
from bert_playground.export.onnx.doors import load_onnx_predictor as load_onnx_predictor
from bert_playground.export.onnx.doors import make_onnx_forward as make_onnx_forward
