"""The files of an exported folder: the graph, predict.py, its README and a recipe for a container."""

import ast
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from bert_playground.blend_predictor import BlendPredictor
from bert_playground.export.onnx import build
from bert_playground.export.onnx.graph import check_model
from bert_playground.export.onnx.session import OnnxModel
from bert_playground.files import write_text
from bert_playground.inference import AnyPredictor
from bert_playground.jinja_templates import open_templates

OWN = "bert_playground"
PACKAGES = ("numpy", "onnxruntime", "tokenizers")  # that predict.py needs in any case
PARTS = tuple(f"standalone_{part}.py" for part in ("cells", "rows", "tabular", "answers"))
OPENING = '''"""Answer the rows of a CSV with the models in this folder: python predict.py test.csv submission.csv

It needs numpy, onnxruntime and tokenizers, and Python 3.10 or newer; of a blend also the libraries of its models, as README.md
says. How a row becomes text, and scores become answers, stands in plan.json, which this file carries out. `bert model export --format onnx` wrote both.
"""
'''


def write_graph(model: onnx.ModelProto, path: Path) -> None:
    """Check a graph and write it; the weights of a very large one go into a file of their own.

    Raises:
        ValueError: ONNX's checker or its shape inference refuses it.
    """
    if model.ByteSize() < build.MOST_BYTES:
        check_model(model)
        path.write_bytes(model.SerializeToString())
        return
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=True,
        location=f"{path.name}_data",
        size_threshold=1024,
    )
    check_model(str(path))


def quantize_file(path: Path) -> None:
    """Quantize the encoder's products and its table of words to 8 bits, in place; activations are quantized row by row.

    The head stays as it is: it is small, and its answers are what counts.
    """
    whole = onnx.load(str(path))
    words = [node.name for node in whole.graph.node if node.name == "encoder.embeddings.gather"]
    left = [
        node.name
        for node in whole.graph.node
        if node.op_type in ("MatMul", "Gather")
        and node.name not in words
        and (node.op_type == "Gather" or node.name.startswith("head."))
    ]
    with _quiet():
        quantize_dynamic(
            whole,
            str(path),
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=left,
        )
    remove_data(path)  # all that is left fits into the graph


def remove_data(path: Path) -> None:
    """Remove the weights that lie beside a graph."""
    path.with_name(f"{path.name}_data").unlink(missing_ok=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of the quantizer, which advises what does not apply to dynamic quantization."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def write_predict(folder: Path) -> None:
    """predict.py: all parts as one file that imports nothing of ours."""
    write_text(folder / "predict.py", predict_source())


def predict_source() -> str:
    """The text of predict.py."""
    here = Path(__file__).parent
    imports: dict[str, None] = {}
    bodies = []
    for name in PARTS:
        source = (here / name).read_text(encoding="utf-8")
        statements = ast.parse(source).body
        found = [each for each in statements if isinstance(each, ast.Import | ast.ImportFrom)]
        own = [
            each for each in found if isinstance(each, ast.ImportFrom) and OWN in str(each.module)
        ]
        imports |= {ast.unparse(each): None for each in found if each not in own}
        lines = source.splitlines()
        bodies.append("\n".join(lines[found[-1].end_lineno or 0 :]).strip())
    outside = [line for line in imports if any(name in line for name in PACKAGES)]
    inside = sorted(
        (line for line in imports if line not in outside),
        key=lambda line: (line.startswith("from"), line),
    )
    head = "\n".join([OPENING, *inside, "", *outside])
    return f"{head}\n\n" + "\n\n\n".join(bodies) + "\n"


def write_readme(
    folder: Path,
    predictor: AnyPredictor,
    graphs: Sequence[OnnxModel],
    packages: Sequence[str],
    *,
    dtype: str,
    has_recipe: bool,
) -> None:
    """README.md: what is in the folder, and how to ask it.

    Args:
        folder: the exported one.
        predictor: what answers with it.
        graphs: of its encoders.
        packages: the libraries that models beside the encoder need.
        dtype: of the graphs.
        has_recipe: whether a Dockerfile lies beside it.
    """
    environment = open_templates(Path(__file__).parent)
    text = environment.get_template("readme.md.jinja").render(
        pipeline=predictor.pipeline,
        graphs=graphs,
        blended=predictor.members if isinstance(predictor, BlendPredictor) else {},
        packages=[*PACKAGES, *packages],
        inputs=sorted(graphs[0].inputs) if graphs else [],
        dtype=dtype,
        has_recipe=has_recipe,
    )
    write_text(folder / "README.md", text)


def write_recipe(folder: Path, packages: Sequence[str]) -> None:
    """A Dockerfile, which installs these libraries too."""
    recipe = open_templates(Path(__file__).parent).get_template("dockerfile.jinja")
    write_text(folder / "Dockerfile", recipe.render(packages=[*PACKAGES, *packages]))
