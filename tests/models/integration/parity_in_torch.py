"""Run by the oracle's interpreter: a random model, and what it makes of rows of many lengths.

    python parity_in_torch.py SCRIPTS FOLDER '{"family": "bert", "is_full": false, "lengths": [1, 64]}'

Writes a checkpoint folder with outputs.safetensors: ids and hidden states per length, a padded batch, and gradients.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TINY = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 2048,
}
PADDED = (200, 129, 64, 3)


def make_model(family: str, is_full: bool, options: dict) -> tuple[torch.nn.Module, dict | None]:
    """A model of published or tiny size, and its config.json where transformers does not write it."""
    if family == "neobert":
        from neobert_in_torch import LanguageModel, tiny_config

        config = tiny_config() | {"max_length": 2048}
        if is_full:
            config |= {
                "hidden_size": 768,
                "num_hidden_layers": 28,
                "num_attention_heads": 12,
                "dim_head": 64,
                "intermediate_size": 3072,
                "vocab_size": 30522,
            }
        return LanguageModel(config), config
    sizes = {} if is_full else TINY
    if family == "bert":
        return transformers.BertModel(
            transformers.BertConfig(**sizes, **options), add_pooling_layer=False
        ), None
    special = {} if is_full else SPECIAL | {"cls_token_id": 1, "sep_token_id": 2}
    config = transformers.ModernBertConfig(**sizes, **special, **options)
    return transformers.ModernBertModel(config), None


def randomize(model: torch.nn.Module, spread: float) -> None:
    """Every parameter random, norms and biases too; `spread` is that of matrices."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_gain = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_gain else spread * noise)


def main() -> None:
    """Write the folder."""
    sys.path.insert(0, sys.argv[1])
    folder, case = Path(sys.argv[2]), json.loads(sys.argv[3])
    model, config = make_model(case["family"], case["is_full"], case.get("options", {}))
    randomize(model.eval(), 0.03 if case["is_full"] else 0.15)
    trunk = model.model if config else model

    def hidden_of(**inputs: torch.Tensor) -> torch.Tensor:
        out = trunk(**inputs)
        return out if config else out.last_hidden_state

    generator = torch.Generator().manual_seed(1)
    outputs = {}
    with torch.no_grad():
        for length in case["lengths"]:
            ids = torch.randint(3, 120, (1, length), generator=generator)
            outputs |= {f"ids.{length}": ids, f"hidden.{length}": hidden_of(input_ids=ids)}
    ids = torch.randint(3, 120, (len(PADDED), max(PADDED)), generator=generator)
    mask = (torch.arange(max(PADDED))[None] < torch.tensor(PADDED)[:, None]).long()
    hidden = hidden_of(input_ids=ids * mask, attention_mask=mask)
    outputs |= {"ids.padded": ids * mask, "mask.padded": mask, "hidden.padded": hidden}
    if not case["is_full"]:
        cotangent = torch.randn(hidden.shape, generator=generator) * mask[..., None]
        (hidden * cotangent).sum().backward()
        outputs["cotangent"] = cotangent
        outputs |= {
            f"gradient.{name}": parameter.grad
            for name, parameter in trunk.named_parameters()
            if parameter.grad is not None
        }
    folder.mkdir(parents=True)
    if config:
        (folder / "config.json").write_text(json.dumps(config))
        save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    else:
        model.save_pretrained(folder)
    save_file(
        {name: tensor.detach().contiguous() for name, tensor in outputs.items()},
        folder / "outputs.safetensors",
    )


if __name__ == "__main__":
    main()
