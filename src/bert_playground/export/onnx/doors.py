"""What others ask of ONNX, each behind one door that says what to install where the extra is missing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_playground.data.core.types import Batch
from bert_playground.export.exported import Exported
from bert_playground.lookup import expand_home
from bert_playground.models.bert_with_head import BertWithHead

if TYPE_CHECKING:
    from bert_playground.export.onnx.predictor import Joined

PLAN = "plan.json"
EXTRA = ("onnx", "onnxruntime")


@contextmanager
def extra_explained() -> Iterator[None]:
    """Inside the block a missing distribution is an error that says how to install it.

    Raises:
        ValueError: one is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in EXTRA:
            raise
        raise ValueError(
            f"{error.name} is not installed, which ONNX needs: pip install 'bert-playground[onnx]'"
        ) from error


def is_onnx_folder(path: Path) -> bool:
    """Whether `bert model export --format onnx` wrote the folder."""
    return (expand_home(path) / PLAN).is_file()


def find_graphs(path: Path) -> list[Path]:
    """The graphs of an ONNX file or folder, also of other programs; [] of a folder with weights of its own."""
    path = expand_home(path)
    if path.is_file():
        return [path] if path.suffix == ".onnx" else []
    if not path.is_dir() or any(path.glob("*.safetensors")):
        return []
    return sorted((*path.glob("*.onnx"), *path.glob("onnx/*.onnx"), *path.glob("member_*/*.onnx")))


def export_onnx(checkpoint: Path, folder: Path, dtype: str, **options: Any) -> Exported:
    """See `folder.export_onnx`."""
    with extra_explained():
        from bert_playground.export.onnx import folder as room

        return room.export_onnx(checkpoint, folder, dtype, **options)


def load_onnx_predictor(path: Path, *, batch_size: int = 128) -> "Joined":
    """See `predictor.load_onnx_predictor`."""
    with extra_explained():
        from bert_playground.export.onnx import predictor

        return predictor.load_onnx_predictor(path, batch_size=batch_size)


def inspect_onnx(path: Path) -> dict[str, Any]:
    """See `describe.describe_graphs`."""
    with extra_explained():
        from bert_playground.export.onnx.describe import describe_graphs

        return describe_graphs(find_graphs(path))


def make_onnx_forward(model: BertWithHead, batch: Batch) -> Callable[[], object]:
    """A function that lets onnxruntime compute the logits of a batch once, in f32."""
    with extra_explained():
        from bert_playground.export.onnx.build import build_onnx, to_bytes
        from bert_playground.export.onnx.session import OnnxModel

        graph = OnnxModel(to_bytes(build_onnx(model)))
    feed = graph.feed(batch.tokens)

    def work() -> object:
        return graph.session.run(["logits"], feed)

    return work
