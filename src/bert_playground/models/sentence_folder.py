"""SentenceFolder: what a sentence-transformers folder says beside its encoder."""

from pathlib import Path
from typing import Any, NamedTuple, Self

from bert_playground.documents import read_json
from bert_playground.logger import logger
from bert_playground.models.hub_files import CONFIG

POOLING_KEYS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
}
# They change an embedding, not what a head can learn from it.
HARMLESS = ("Transformer", "Pooling", "Normalize")


class SentenceFolder(NamedTuple):
    """The parts of a sentence-transformers folder; of another folder `encoder` alone.

    Attributes:
        encoder: the folder with config.json and the weights.
        pooling: cls, mean or max; None when it is not said, or is one that no head here has.
        max_length: the most tokens of a text that the model was trained for.
        is_sentence_transformer: whether the folder is one at all.
    """

    encoder: Path
    pooling: str | None = None
    max_length: int | None = None
    is_sentence_transformer: bool = False

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `modules.json`, the pooling's config and `sentence_bert_config.json`, as far as they are there.

        Raises:
            ValueError: one of them is damaged, or the first module is no transformer.
        """
        modules = _read_modules(folder)
        encoder, pooling_folder = folder, folder / "1_Pooling"
        if modules:
            encoder = folder / modules.get("Transformer", "")
            pooling_folder = folder / modules.get("Pooling", "1_Pooling")
            strange = [name for name in modules if name not in HARMLESS]
            if strange:
                logger.warning(
                    "{}: its modules {} are not applied; a head of its own follows the encoder",
                    folder,
                    ", ".join(strange),
                )
        pooling = read_pooling(pooling_folder / CONFIG)
        lengths = [path for path in encoder.glob("sentence_*_config.json") if path.is_file()]
        max_length = read_json(lengths[0]).get("max_seq_length") if lengths else None
        is_one = bool(modules or lengths or pooling_folder.is_dir())
        return cls(encoder, pooling, max_length, is_one)


def find_encoder_folder(folder: Path) -> Path:
    """Where the encoder of a folder lies: in it, or where modules.json says."""
    return folder / _read_modules(folder).get("Transformer", "")


def _read_modules(folder: Path) -> dict[str, str]:
    """Short class name → subfolder, from `modules.json`; {} when there is none."""
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    listed: Any = read_json(path, kind=list)
    try:
        modules = {str(one["type"]).rpartition(".")[2]: str(one["path"]) for one in listed}
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no list of modules with type and path; copy or download it again"
        ) from error
    if "Transformer" not in modules:
        raise ValueError(
            f"{path} has no Transformer module but {', '.join(modules) or 'nothing'}; only encoders can be read"
        )
    return modules


def read_pooling(path: Path) -> str | None:
    """The pooling that a sentence-transformers model was trained with, or None when it is not said or not known here."""
    if not path.is_file():
        return None
    values = read_json(path)
    # Version 6 writes one word, or a list of them; older ones a flag each.
    spelt = values.get("pooling_mode")
    if spelt is not None:
        chosen = [spelt] if isinstance(spelt, str) else [str(name) for name in spelt]
    else:
        keys = {key: name for name, key in POOLING_KEYS.items()}
        chosen = [
            keys.get(key, key.removeprefix("pooling_mode_"))
            for key, is_used in values.items()
            if key.startswith("pooling_mode_") and is_used
        ]
    if len(chosen) == 1 and chosen[0] in POOLING_KEYS:
        return chosen[0]
    if chosen:
        logger.warning(
            "{}: pooling {} is not one of {}; the encoder's usual one is used",
            path,
            " + ".join(chosen),
            ", ".join(POOLING_KEYS),
        )
    return None
