"""explain_missing_onnx: what to install where the extra is not there."""

NAMES = ("onnx", "onnxruntime")


def is_missing_onnx(error: ImportError) -> bool:
    """Whether one of the extra's distributions is not installed."""
    return isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] in NAMES


def explain_missing_onnx() -> str:
    """Which command installs it."""
    return "ONNX needs the packages onnx and onnxruntime: pip install 'bert-playground[onnx]'"
