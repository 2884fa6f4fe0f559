"""build_onnx: a model as an ONNX graph; prepare_model: adapters merged, quantized weights in full."""

import onnx

from bert_playground.export.onnx.encoders import add_encoder, add_inputs
from bert_playground.export.onnx.graph import Graph
from bert_playground.export.onnx.heads import add_head
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.quantization_utils import dequantize_model

FIRST_OPSET = 17  # with LayerNormalization
LAST_OPSET = 23  # that this version of the graph was checked with
DEFAULT_OPSET = 17  # read by every onnxruntime since 2022
MOST_BYTES = 2**31 - 2**20  # of a message of protobuf


def check_opset(opset: int) -> int:
    """Refuse opsets that the graph cannot be written in, or that onnxruntime does not read.

    Raises:
        ValueError: it is one.
    """
    if not FIRST_OPSET <= opset <= LAST_OPSET:
        raise ValueError(
            f"opset {opset} is not among {FIRST_OPSET} to {LAST_OPSET}, in which models can be written; leave --opset out "
            f"for {DEFAULT_OPSET}, which every onnxruntime since 2022 reads"
        )
    return opset


def prepare_model(model: BertWithHead) -> BertWithHead:
    """The same model with adapters merged and quantized weights in full."""
    adapter = getattr(model, "adapter", None)
    if adapter is not None:
        adapter.merge(requantize=False)
        model.adapter = None
    dequantize_model(model)
    refuse_given_features(model)
    return model


def refuse_given_features(model: BertWithHead) -> None:
    """Refuse a head that wants numbers for each step of a forecast, which no table gives.

    Raises:
        ValueError: it is one.
    """
    count = model.head.config.num_temporal_features
    if count:
        raise ValueError(
            f"the head wants {count} numbers for each step of its forecast, for which the graph has no input; train with "
            "num_temporal_features 0 to export"
        )


def build_onnx(
    model: BertWithHead, *, opset: int = DEFAULT_OPSET, is_half: bool = False
) -> onnx.ModelProto:
    """A model as ONNX: input_ids, attention_mask (token_type_ids, numbers) to logits and scores.

    Args:
        model: see `prepare_model`.
        opset: FIRST_OPSET to LAST_OPSET.
        is_half: store the weights as f16; all is computed in f32.

    Raises:
        ValueError: another opset, or weights that f16 cannot hold.
    """
    graph = Graph(check_opset(opset), is_half=is_half)
    inputs = add_inputs(graph, model.encoder, model.num_numbers)
    hidden = add_encoder(graph, model.encoder, inputs)
    beside = bool(model.num_numbers) and not model.encoder.num_numbers
    add_head(graph, model.head, hidden, inputs, joins=beside)
    name = type(model.encoder).__name__
    return graph.model(f"{name} with a {model.head.head_type} head, by bert-playground")


def to_bytes(model: onnx.ModelProto) -> bytes:
    """A graph as bytes, to be computed without a file.

    Raises:
        ValueError: it is too large for that.
    """
    if model.ByteSize() > MOST_BYTES:
        raise ValueError(
            f"the graph has {model.ByteSize() / 2**30:.1f} GB, and only 2 GB fit into one message; write it with "
            "bert model export --format onnx, which puts the weights beside it, and give that folder"
        )
    return bytes(model.SerializeToString())
