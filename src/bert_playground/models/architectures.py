"""look_at_checkpoint: what a folder is, by its config.json alone, before anything else is read; other models are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from bert_playground.documents import Document, check, read_json, schema_of
from bert_playground.lookup import nearest
from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.heads import HeadConfig
from bert_playground.models.hub_files import ADAPTER, CONFIG, WEIGHTS, fetch_folder
from bert_playground.models.sentence_folder import find_encoder_folder

EXAMPLES = "google-bert/bert-base-uncased, answerdotai/ModernBERT-base or chandar-lab/NeoBERT"
# model_type of config.json → what its readers call it; each looks like a BERT to somebody.
OTHERS = {
    "albert": "an ALBERT",
    "bart": "a BART",
    "bert-generation": "a BERT that generates text",
    "big_bird": "a BigBird",
    "camembert": "a CamemBERT",
    "convbert": "a ConvBERT",
    "data2vec-text": "a Data2Vec",
    "deberta": "a DeBERTa",
    "deberta-v2": "a DeBERTa-v2",
    "distilbert": "a DistilBERT",
    "electra": "an ELECTRA",
    "ernie": "an ERNIE",
    "ernie_m": "an ERNIE-M",
    "esm": "an ESM",
    "eurobert": "a EuroBERT",
    "flaubert": "a FlauBERT",
    "fnet": "an FNet",
    "funnel": "a Funnel Transformer",
    "gemma": "a Gemma",
    "gemma2": "a Gemma 2",
    "gemma3_text": "a Gemma 3",
    "gpt2": "a GPT-2",
    "gpt_neo": "a GPT-Neo",
    "gpt_neox": "a GPT-NeoX",
    "ibert": "an I-BERT",
    "layoutlm": "a LayoutLM",
    "llama": "a Llama",
    "longformer": "a Longformer",
    "luke": "a LUKE",
    "megatron-bert": "a Megatron-BERT",
    "mistral": "a Mistral",
    "mobilebert": "a MobileBERT",
    "modernbert-decoder": "a ModernBERT decoder",
    "mpnet": "an MPNet",
    "mra": "an MRA",
    "nezha": "a Nezha",
    "nomic_bert": "a Nomic BERT",
    "opt": "an OPT",
    "phi3": "a Phi-3",
    "qwen2": "a Qwen2",
    "qwen3": "a Qwen3",
    "rembert": "a RemBERT",
    "roberta": "a RoBERTa",
    "roberta-prelayernorm": "a RoBERTa-PreLayerNorm",
    "roc_bert": "a RoCBert",
    "roformer": "a RoFormer",
    "splinter": "a Splinter",
    "squeezebert": "a SqueezeBERT",
    "t5": "a T5",
    "xlm": "an XLM",
    "xlm-roberta": "an XLM-RoBERTa",
    "xlm-roberta-xl": "an XLM-RoBERTa-XL",
    "xlnet": "an XLNet",
    "xmod": "an X-MOD",
}


class AnglesDocument(Document):
    """How rotary angles are computed in one kind of layer."""

    rope_theta: float | None = None
    rope_type: str | None = None
    type: str | None = None
    partial_rotary_factor: float | None = None


class RopeDocument(AnglesDocument):
    """The same of all layers, or apart for each kind of layer."""

    full_attention: AnglesDocument | None = None
    sliding_attention: AnglesDocument | None = None


Label = str | int | float | bool


class ModelDocument(Document):
    """What config.json says of a model besides the sizes of its encoder, which are the fields of the encoder's config."""

    model_type: str | None = None
    architectures: list[str] | None = None
    id2label: dict[str, Label] | list[Label] | None = None
    label2id: dict[str, Any] | None = None
    num_labels: int | None = None
    problem_type: str | None = None
    classifier_activation: str | None = None
    rope_parameters: RopeDocument | None = None
    rope_scaling: AnglesDocument | None = None
    rope_theta: float | None = None
    sliding_window: int | None = None
    alternating_attention: bool | None = None
    max_length: int | None = None
    embedding_init_range: float | None = None
    quantization: dict[str, Any] | None = None
    head: dict[str, Any] = Field(default_factory=dict)


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint; {} when there is none.

    Raises:
        ValueError: it is damaged, or has values of other types than its keys have; all of them are listed.
    """
    path = folder / CONFIG
    if not path.is_file():
        return {}
    values: dict[str, Any] = read_json(path)
    check(ModelDocument, values, path)
    names = values.get("id2label") or {}
    if isinstance(names, dict) and (wrong := [key for key in names if not key.isdecimal()]):
        raise ValueError(f"{path}: id2label has {wrong[0]!r:.60}, expected the numbers of classes")
    if "head" in values:
        check(schema_of(HeadConfig, nullable=False), values["head"], f"{path}, head")
    return values


def name_classes(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of classes in a config.json, in the order of their numbers; some tools write them as a list."""
    names = values.get("id2label") or {}
    numbered = names if isinstance(names, Mapping) else dict(enumerate(names))
    return tuple(str(numbered[key]) for key in sorted(numbered, key=int))


class Outline(NamedTuple):
    """What a checkpoint's config.json says.

    Attributes:
        folder: where the encoder's files lie.
        values: of config.json; {} when there is none.
        max_length: the most tokens of a row; None: only the weights say.
    """

    folder: Path
    values: dict[str, Any]
    max_length: int | None


def look_at_checkpoint(name_or_path: str | Path) -> Outline:
    """Read the config.json of a checkpoint and check that its architecture is one of ours.

    Args:
        name_or_path: a Hub id, which is downloaded once, or a folder.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: another architecture, an adapter alone, or a config that is not implemented.
    """
    folder = find_encoder_folder(fetch_folder(name_or_path))
    refuse_adapter(folder)
    values = read_config(folder)
    architecture = read_architecture(values, folder)
    if architecture is None or "hidden_size" not in values:
        return Outline(folder, values, None)
    config = read_shape(values, architecture, folder)
    return Outline(folder, values, int(config.max_position_embeddings))


def read_shape(values: Mapping[str, Any], architecture: str, folder: Path) -> Any:
    """The encoder's config that a config.json means.

    Raises:
        ValueError: impossible sizes, or a computation that is not implemented.
    """
    kind = ENCODERS[architecture].config
    check(schema_of(kind), values, folder / CONFIG)
    try:
        return kind.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from error


def refuse_adapter(folder: Path) -> None:
    """Refuse a folder that holds an adapter and no model.

    Raises:
        ValueError: it does; the message has the command that makes one model of the two.
    """
    if (folder / ADAPTER).is_file() and not (folder / WEIGHTS).is_file():
        raise ValueError(
            f"{folder} holds an adapter without the model that it stands on; make one model of the two first: "
            f"bert model merge --checkpoint {folder} --output FOLDER"
        )


def read_architecture(values: Mapping[str, Any], folder: Path) -> str | None:
    """The name in ENCODERS that a config.json means; None where it does not say.

    Raises:
        ValueError: it is another one; the message has what it is and what is supported.
    """
    said = values.get("model_type")
    if not said:
        return None
    for name, family in ENCODERS.items():
        if said in (name, getattr(family.config, "own_model_type", name)):
            return name
    if said in OTHERS:
        what, hint = f"is {OTHERS[said]}", ""
    else:
        what, hint = f"is of model_type {said!r}", nearest(str(said), ENCODERS)
    *others, last = ENCODERS
    raise ValueError(
        f"{folder} {what}; supported are {', '.join(others)} and {last} checkpoints, such as {EXAMPLES}{hint}"
    )
