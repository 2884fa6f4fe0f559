"""FittedModel: a checkpoint folder of an estimator's own, which is pickled as the bytes of its files."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from bert_playground.ensemble_predictor import load_predictor
from bert_playground.files import replaced_directory, write_bytes
from bert_playground.inference import AnyPredictor
from bert_playground.lookup import expand_home


class FittedModel:
    """A checkpoint folder that exists as long as this object does, and the predictor that was read from it.

    Pickle, joblib and `copy.deepcopy` take the bytes of the files, and write them to a folder of the copy's own.

    Attributes:
        folder: a temporary one; `save` writes another that stays.
    """

    def __init__(self, folder: Path) -> None:
        """Take over a temporary folder; it is removed together with the object."""
        self.folder = folder
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._loaded: Any = self.load()

    @classmethod
    def copy_of(cls, folder: Path) -> Self:
        """Copy a checkpoint."""
        own = Path(tempfile.mkdtemp(prefix="bert_"))
        shutil.copytree(folder, own, dirs_exist_ok=True)
        return cls(own)

    @classmethod
    def of_files(cls, files: Mapping[str, bytes]) -> Self:
        """Write files into a folder of its own.

        Args:
            files: path inside the folder → content.
        """
        own = Path(tempfile.mkdtemp(prefix="bert_"))
        for name, content in files.items():
            write_bytes(own / name, content)
        return cls(own)

    def load(self) -> Any:
        """Read what answers rows."""
        return load_predictor(self.folder)

    @property
    def predictor(self) -> AnyPredictor:
        """What `bert predict` would read from the folder."""
        predictor: AnyPredictor = self._loaded
        return predictor

    def save(self, folder: str | Path) -> Path:
        """Copy the checkpoint to a new folder, which appears whole or not at all.

        Raises:
            ValueError: the folder exists and is not empty.
        """
        target = expand_home(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ValueError(f"{target} exists already; give a new folder, or remove that one")
        with replaced_directory(target) as temporary:
            shutil.copytree(self.folder, temporary, dirs_exist_ok=True)
        return target

    def __reduce__(self) -> tuple[Any, ...]:
        """The bytes of the files; paths mean nothing on another machine."""
        paths = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        files = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}
        return (type(self).of_files, (files,))
