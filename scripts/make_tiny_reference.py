"""Make the tiny models that the parity tests compare with, by transformers' own classes.

Run it in an environment with torch and transformers, which the project itself does not need:

    python scripts/make_tiny_reference.py tests/fixtures/tiny_reference

Every parameter is random, biases and norms too: the usual initial values (0 and 1) would hide mistakes. A case is a
folder with config.json, model.safetensors and reference.safetensors (inputs, outputs, gradients).
"""

import argparse
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from neobert_in_torch import Classifier, LanguageModel, tiny_config
from safetensors.torch import load_file, save_file

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
}
MODERN = SIZES | {
    "num_hidden_layers": 4,
    "local_attention": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}
IRREGULAR = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]


@dataclass(frozen=True)
class Case:
    """One model and the rows it is shown."""

    architecture: str
    model_class: str
    options: dict[str, Any]
    lengths: tuple[int, ...] = (40, 31, 9)
    token_types: bool = False
    edit_config: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda config: config)


def as_version_4(config: dict[str, Any]) -> dict[str, Any]:
    """Spell a ModernBERT config.json as transformers 4 did."""
    types = config.pop("layer_types")
    parameters = config.pop("rope_parameters")
    every = types[1:].index("full_attention") + 1
    return config | {
        "global_attn_every_n_layers": every,
        "global_rope_theta": parameters["full_attention"]["rope_theta"],
        "local_rope_theta": parameters["sliding_attention"]["rope_theta"],
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "absolute",
    }


CASES = {
    "bert": Case("Bert", "BertModel", SIZES, token_types=True),
    "bert_pretraining": Case("Bert", "BertForPreTraining", SIZES | {"hidden_act": "gelu_new"}),
    "bert_classification": Case(
        "Bert", "BertForSequenceClassification", SIZES | {"num_labels": 3}, token_types=True
    ),
    "modernbert": Case("ModernBert", "ModernBertModel", MODERN),
    "modernbert_version_4": Case(
        "ModernBert",
        "ModernBertForMaskedLM",
        MODERN
        | {
            "global_attn_every_n_layers": 2,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 80000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
            },
        },
        edit_config=as_version_4,
    ),
    "modernbert_layer_types": Case(
        "ModernBert",
        "ModernBertModel",
        MODERN
        | {
            "layer_types": IRREGULAR,
            "norm_bias": True,
            "attention_bias": True,
            "mlp_bias": True,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 160000.0},
            },
        },
        lengths=(37,),
    ),
    "modernbert_classification_mean": Case(
        "ModernBert",
        "ModernBertForSequenceClassification",
        MODERN | {"num_labels": 2, "classifier_pooling": "mean"},
    ),
    "modernbert_classification_cls": Case(
        "ModernBert",
        "ModernBertForSequenceClassification",
        MODERN | {"num_labels": 3, "classifier_pooling": "cls", "classifier_bias": True},
    ),
}


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Give every parameter random values around its usual ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_gain = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_gain else 0.15 * noise)


def make_inputs(case: Case, seed: int) -> dict[str, torch.Tensor]:
    """Random rows, padded on the right; without padding there is no mask either."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(case.lengths), max(case.lengths))
    inputs = {"input_ids": torch.randint(3, SIZES["vocab_size"], shape, generator=generator)}
    if len(set(case.lengths)) > 1:
        lengths = torch.tensor(case.lengths)
        inputs["attention_mask"] = (torch.arange(shape[1])[None] < lengths[:, None]).long()
        inputs["input_ids"] *= inputs["attention_mask"]
    if case.token_types:
        inputs["token_type_ids"] = torch.randint(0, 2, shape, generator=generator)
    return inputs


def make_case(case: Case, folder: Path, seed: int) -> None:
    """Write one folder."""
    config = getattr(transformers, f"{case.architecture}Config")(**case.options)
    model = getattr(transformers, case.model_class)(config)
    randomize(model, seed)
    model.eval()
    inputs = make_inputs(case, seed)
    outputs = model(**inputs, output_hidden_states=True)
    reference = dict(inputs)
    if "SequenceClassification" in case.model_class:
        reference |= classification_reference(model, outputs.logits)
    else:
        base = getattr(model, model.base_model_prefix, model)
        reference["hidden"] = base(**inputs).last_hidden_state
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    write_reference(folder, reference)
    path = folder / "config.json"
    path.write_text(json.dumps(case.edit_config(json.loads(path.read_text())), indent=2) + "\n")


def classification_reference(
    model: torch.nn.Module, logits: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Logits, made-up labels, their loss, and the gradient of every parameter."""
    labels = torch.arange(logits.shape[0]) % logits.shape[1]
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    gradients = {f"gradient.{name}": p.grad for name, p in model.named_parameters()}
    return {"logits": logits, "labels": labels, "loss": loss} | gradients


def write_reference(folder: Path, reference: dict[str, torch.Tensor]) -> None:
    """Write inputs and outputs beside the model."""
    save_file(
        {name: tensor.detach().contiguous() for name, tensor in reference.items()},
        folder / "reference.safetensors",
    )


def make_neobert(model_class: type, folder: Path, seed: int) -> None:
    """Write the folder of a NeoBERT, by our own reference in torch."""
    config = tiny_config(num_labels=3)
    model = model_class(config)
    randomize(model, seed)
    case = Case("NeoBert", model_class.__name__, {})
    inputs = make_inputs(case, seed)
    reference = inputs | {"hidden": model.model(**inputs)}
    if model_class is Classifier:
        config["architectures"] = ["NeoBERTForSequenceClassification"]
        reference |= classification_reference(model, model(**inputs))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    write_reference(folder, reference)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def make_minilm(checkpoint: Path, folder: Path) -> None:
    """Write what the real MiniLM makes of three rows; its weights are not copied."""
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([48, 30, 7])
    mask = (torch.arange(48)[None] < lengths[:, None]).long()
    ids = torch.randint(999, 30000, (3, 48), generator=generator) * mask
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"input_ids": ids, "attention_mask": mask, "mean": mean, "first": hidden[:, 0]}
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / "reference.safetensors",
    )


def main() -> None:
    """Write all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--minilm", type=Path, help="folder of all-MiniLM-L6-v2")
    arguments = parser.parse_args()
    for seed, (name, case) in enumerate(CASES.items()):
        make_case(case, arguments.output / name, seed)
        count = len(load_file(arguments.output / name / "model.safetensors"))
        print(f"{name}: {count} tensors")
    make_neobert(LanguageModel, arguments.output / "neobert", len(CASES))
    make_neobert(Classifier, arguments.output / "neobert_classification", len(CASES) + 1)
    if arguments.minilm:
        make_minilm(arguments.minilm, arguments.output / "minilm")


if __name__ == "__main__":
    main()
