"""Graph: an ONNX graph that grows node by node; Linear, norms, activations and reductions in the words of its opset."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bert_playground.lookup import look_up, shorten
from bert_playground.models.tokenwise import Linear, Norm

Array = np.ndarray[Any, Any]
LARGEST_F16 = 65504
TYPES = {
    "int64": TensorProto.INT64,
    "float32": TensorProto.FLOAT,
    "bool": TensorProto.BOOL,
}
AXES_AS_INPUT = 18  # from here on ReduceMax takes its axes as an input
GELU_OPSET = 20
RMS_OPSET = 23
DOMAIN = "bert-playground"


class Graph:
    """The nodes and weights of a graph so far; a value is its name.

    Args:
        opset: which operators there are.
        is_half: store weights of layers and tables as f16, and cast them to f32 where they are used.
    """

    def __init__(self, opset: int, *, is_half: bool = False) -> None:
        self.opset = opset
        self.is_half = is_half
        self._scope: list[str] = []
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._used: dict[str, int] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Inside the block names begin with this one."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    def input(self, name: str, dtype: str, shape: Sequence[str | int]) -> str:
        """An input of the graph; axes with a name are dynamic."""
        self._inputs.append(helper.make_tensor_value_info(name, TYPES[dtype], list(shape)))
        return name

    def output(self, name: str, value: str, shape: Sequence[str | int]) -> None:
        """An output of the graph in f32."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output/{name}"))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output."""
        return self.nodes(operator, *inputs, num_outputs=1, **attributes)[0]

    def nodes(
        self, operator: str, *inputs: str, num_outputs: int, **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node of several outputs."""
        name = self._own_name(operator.lower())
        outputs = [name if i == 0 else f"{name}:{i}" for i in range(num_outputs)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return tuple(outputs)

    def constant(self, value: Any, dtype: str = "float32") -> str:
        """A number or a small array; equal ones are stored once."""
        array = np.asarray(value, dtype=np.dtype(dtype))
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._weights[name] = numpy_helper.from_array(array, name)
            self._constants[key] = name
        return self._constants[key]

    def weight(self, value: Any, name: str) -> str:
        """A weight of the model in f32, or what is computed of one that is stored as f16."""
        array = np.ascontiguousarray(np.array(value, dtype=np.float32))
        whole = self._own_name(name)
        if not self.is_half:
            self._weights[whole] = numpy_helper.from_array(array, whole)
            return whole
        if np.abs(array).max(initial=0) > LARGEST_F16:
            raise ValueError(
                f"f16 ends at {LARGEST_F16}, but larger weights are in {whole}; use --dtype f32"
            )
        self._weights[whole] = numpy_helper.from_array(array.astype(np.float16), whole)
        return self.node("Cast", whole, to=TensorProto.FLOAT)

    def table(self, value: Any, name: str) -> str:
        """An array that is stored as it is."""
        whole = self._own_name(name)
        self._weights[whole] = numpy_helper.from_array(np.ascontiguousarray(value), whole)
        return whole

    def _own_name(self, name: str) -> str:
        whole = ".".join([*self._scope, name])
        self._used[whole] = count = self._used.get(whole, -1) + 1
        return whole if count == 0 else f"{whole}_{count}"

    def model(self, description: str) -> onnx.ModelProto:
        """The whole as a model that the checker and shape inference accept.

        Raises:
            ValueError: they do not.
        """
        graph = helper.make_graph(
            self._nodes,
            "bert",
            self._inputs,
            self._outputs,
            list(self._weights.values()),
            doc_string=description,
        )
        operators = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph,
            opset_imports=operators,
            ir_version=helper.find_min_ir_version_for(operators),
            producer_name=DOMAIN,
        )

    # ---- what several parts need ----

    def add(self, first: str, second: str) -> str:
        """The sum."""
        return self.node("Add", first, second)

    def cast(self, value: str, dtype: str) -> str:
        """As another type."""
        return self.node("Cast", value, to=TYPES[dtype])

    def axes(self, value: str, *axes: int) -> str:
        """With new axes of size 1."""
        return self.node("Unsqueeze", value, self.constant(axes, "int64"))

    def squeeze(self, value: str, *axes: int) -> str:
        """Without these axes of size 1."""
        return self.node("Squeeze", value, self.constant(axes, "int64"))

    def reshape(self, value: str, *shape: int) -> str:
        """0: as it was, -1: what is left."""
        return self.node("Reshape", value, self.constant(shape, "int64"))

    def split(self, value: str, *sizes: int, axis: int = -1) -> tuple[str, ...]:
        """Parts of these sizes."""
        given = self.constant(sizes, "int64")
        return self.nodes("Split", value, given, num_outputs=len(sizes), axis=axis)

    def slice(self, value: str, start: int, end: int | str, axis: int) -> str:
        """The part from `start` to before `end` of an axis; an end that is known at run time alone is a value [1]."""
        last = end if isinstance(end, str) else self.constant([end], "int64")
        first, along = self.constant([start], "int64"), self.constant([axis], "int64")
        return self.node("Slice", value, first, last, along)

    def size(self, value: str, axis: int) -> str:
        """The size of an axis, [1]."""
        return self.node("Shape", value, start=axis, end=axis + 1)

    def total(self, value: str, axis: int, *, keepdims: bool = True) -> str:
        """The sum over an axis."""
        along = self.constant([axis], "int64")
        return self.node("ReduceSum", value, along, keepdims=int(keepdims))

    def highest(self, value: str, axis: int) -> str:
        """The maximum over an axis, which goes."""
        if self.opset < AXES_AS_INPUT:
            return self.node("ReduceMax", value, axes=[axis], keepdims=0)
        return self.node("ReduceMax", value, self.constant([axis], "int64"), keepdims=0)

    def clip(self, value: str, low: float, high: float) -> str:
        """Between two numbers."""
        return self.node("Clip", value, self.constant(low), self.constant(high))

    def linear(self, value: str, layer: Linear, name: str) -> str:
        """X W^T + b of a Linear."""
        with self.scope(name):
            product = self.node(
                "MatMul", value, self.weight(np.array(layer.kept_weight()).T, "weight")
            )
            bias = layer.get("bias")
            return product if bias is None else self.add(product, self.weight(bias, "bias"))

    def norm(self, value: str, layer: Norm, name: str) -> str:
        """Layer norm or RMS norm over the last axis."""
        with self.scope(name):
            weights = [self.weight(layer.weight, "weight")]
            if not layer.rms:
                bias = layer.get("bias")
                weights += [] if bias is None else [self.weight(bias, "bias")]
                return self.node("LayerNormalization", value, *weights, axis=-1, epsilon=layer.eps)
            if self.opset >= RMS_OPSET:
                return self.node("RMSNormalization", value, *weights, axis=-1, epsilon=layer.eps)
            size = self.constant(float(layer.weight.shape[0]))
            mean = self.node("Div", self.total(self.node("Mul", value, value), -1), size)
            root = self.node("Sqrt", self.add(mean, self.constant(layer.eps)))
            return self.node("Mul", self.node("Div", value, root), *weights)

    def activate(self, value: str, name: str) -> str:
        """An activation by the name that transformers gives it."""
        return look_up(ACTIVATIONS, name, "activation")(self, value)


def _gelu(graph: Graph, x: str) -> str:
    if graph.opset >= GELU_OPSET:
        return graph.node("Gelu", x)
    error = graph.node("Erf", graph.node("Div", x, graph.constant(np.sqrt(2))))
    product = graph.node("Mul", x, graph.add(error, graph.constant(1)))
    return graph.node("Mul", product, graph.constant(0.5))


def _gelu_tanh(graph: Graph, x: str) -> str:
    cube = graph.node("Mul", graph.node("Mul", x, x), x)
    inner = graph.add(x, graph.node("Mul", cube, graph.constant(0.044715)))
    bent = graph.node("Tanh", graph.node("Mul", inner, graph.constant(np.sqrt(2 / np.pi))))
    half = graph.node("Mul", graph.add(bent, graph.constant(1)), graph.constant(0.5))
    return graph.node("Mul", x, half)


def _scaled_sigmoid(scale: float) -> Callable[[Graph, str], str]:
    def apply(graph: Graph, x: str) -> str:
        inner = x if scale == 1 else graph.node("Mul", x, graph.constant(scale))
        return graph.node("Mul", x, graph.node("Sigmoid", inner))

    return apply


def _squared_relu(graph: Graph, x: str) -> str:
    kept = graph.node("Relu", x)
    return graph.node("Mul", kept, kept)


def _mish(graph: Graph, x: str) -> str:
    return graph.node("Mul", x, graph.node("Tanh", graph.node("Softplus", x)))


# The same names as models/bert/layers/feedforward.py has.
ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "gelu": _gelu,
    "gelu_python": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "quick_gelu": _scaled_sigmoid(1.702),
    "relu": lambda graph, x: graph.node("Relu", x),
    "relu2": _squared_relu,
    "silu": _scaled_sigmoid(1),
    "swish": _scaled_sigmoid(1),
    "tanh": lambda graph, x: graph.node("Tanh", x),
    "mish": _mish,
}


def check_model(model: onnx.ModelProto | str) -> None:
    """Let ONNX's own checker and shape inference look at a model, or at the file of one too large for a message.

    Raises:
        ValueError: what they found.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        found = [line for line in re.split(r"\n+", str(error)) if line.strip()]
        raise ValueError(f"ONNX's checker refuses the graph: {shorten(found, 3)}") from error
