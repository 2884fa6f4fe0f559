"""write_tokenizer: the tokenizer of a checkpoint in the files of transformers."""

import json
import shutil
from pathlib import Path
from typing import Any

from bert_playground.data.templates.row_text import PIPELINE, load_row_text
from bert_playground.data.tokens.tokenizer import TextTokenizer
from bert_playground.files import write_text

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
MASKS = ("[MASK]", "<mask>")


def write_tokenizer(checkpoint: Path, folder: Path) -> bool:
    """Write the tokenizer files; and pipeline.json, so that `bert predict` reads the folder too.

    Args:
        checkpoint: of `bert train`, or a Hugging Face folder, whose files are copied as they are.
        folder: where to write.

    Returns:
        Whether the checkpoint has a tokenizer at all.
    """
    if (checkpoint / PIPELINE).is_file():
        text = load_row_text(checkpoint)
        write_text(folder / "tokenizer.json", text.tokenizer.to_json())
        config = tokenizer_config(text.tokenizer, text.max_length)
        write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")
        shutil.copyfile(checkpoint / PIPELINE, folder / PIPELINE)
        return True
    found = [checkpoint / name for name in FILES if (checkpoint / name).is_file()]
    for path in found:
        shutil.copyfile(path, folder / path.name)
    return bool(found)


def tokenizer_config(tokenizer: TextTokenizer, max_length: int) -> dict[str, Any]:
    """What transformers wants to know of a tokenizer beside tokenizer.json.

    Args:
        tokenizer: as the pipeline has it.
        max_length: rows are cut to it.
    """
    fast = tokenizer.tokenizer
    names = {
        "pad_token": fast.id_to_token(tokenizer.pad_token_id),
        "unk_token": getattr(fast.model, "unk_token", None),
        "cls_token": fast.id_to_token(tokenizer.prefix[0]) if tokenizer.prefix else None,
        "sep_token": fast.id_to_token(tokenizer.suffix[-1]) if tokenizer.suffix else None,
        "mask_token": next((name for name in MASKS if fast.token_to_id(name) is not None), None),
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "right",
        "truncation_side": "right",
        "clean_up_tokenization_spaces": False,
        # A cell that spells "[SEP]" is text like any other.
        "split_special_tokens": True,
        **{key: name for key, name in names.items() if name is not None},
    }
