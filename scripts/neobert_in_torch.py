"""NeoBERT in torch, written from its paper and its published weights, since transformers has no such class.

Slow and plain on purpose: the parity tests compare our encoder with it. Parameter names are those of the published file.
"""

import torch
from torch import nn


class Block(nn.Module):
    """One layer."""

    def __init__(self, width: int, num_heads: int, inner: int, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.RMSNorm(width, eps)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.wo = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps)
        self.ffn = nn.ModuleDict(
            {
                "w12": nn.Linear(width, 2 * inner, bias=False),
                "w3": nn.Linear(inner, width, bias=False),
            }
        )

    def forward(
        self, x: torch.Tensor, turns: torch.Tensor, hidden_keys: torch.Tensor
    ) -> torch.Tensor:
        """Map [B, T, H]; `turns` [T, D / 2] are complex numbers, `hidden_keys` [B, T] is true on padding."""
        rows, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(rows, length, self.num_heads, 3, -1)
        query, key, value = qkv.permute(3, 0, 2, 1, 4)  # [B, N, T, D]
        query, key = turn(query, turns), turn(key, turns)
        scores = torch.einsum("bnqd,bnkd->bnqk", query, key) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(hidden_keys[:, None, None, :], float("-inf"))
        context = torch.einsum("bnqk,bnkd->bqnd", scores.softmax(-1), value)
        x = x + self.wo(context.reshape(rows, length, width))
        gate, linear = self.ffn["w12"](self.ffn_norm(x)).tensor_split(2, dim=-1)
        return x + self.ffn["w3"](gate * torch.sigmoid(gate) * linear)


def turn(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Multiply neighbouring pairs, read as complex numbers, by the turn of their position."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)


class Trunk(nn.Module):
    """The encoder."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        width, heads = config["hidden_size"], config["num_attention_heads"]
        inner = 8 * ((int(2 * config["intermediate_size"] / 3) + 7) // 8)
        self.head_size = width // heads
        self.encoder = nn.Embedding(config["vocab_size"], width)
        self.transformer_encoder = nn.ModuleList(
            Block(width, heads, inner, config["norm_eps"])
            for _ in range(config["num_hidden_layers"])
        )
        self.layer_norm = nn.RMSNorm(width, config["norm_eps"])

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Hidden states [B, T, H] of ids [B, T]."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        frequencies = 1 / 10_000.0 ** (torch.arange(0, self.head_size, 2).float() / self.head_size)
        angles = torch.arange(input_ids.shape[1]).float()[:, None] * frequencies
        turns = torch.polar(torch.ones_like(angles), angles)
        x = self.encoder(input_ids)
        for block in self.transformer_encoder:
            x = block(x, turns, attention_mask == 0)
        return self.layer_norm(x)


class Classifier(nn.Module):
    """Encoder and classification head, without dropout."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.model = Trunk(config)
        self.dense = nn.Linear(width, width)
        self.classifier = nn.Linear(width, config["num_labels"])

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits [B, L]."""
        first = self.model(input_ids, attention_mask)[:, 0]
        return self.classifier(torch.tanh(self.dense(first)))


class LanguageModel(nn.Module):
    """Encoder and decoder; their tables are two."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        self.model = Trunk(config)
        self.decoder = nn.Linear(config["hidden_size"], config["vocab_size"])

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits [B, T, V]."""
        return self.decoder(self.model(input_ids, attention_mask))


def tiny_config(num_labels: int = 2) -> dict:
    """The config.json of a tiny model, in the published spelling."""
    return {
        "architectures": ["NeoBERTLMHead"],
        "model_type": "neobert",
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "dim_head": 8,
        "intermediate_size": 60,
        "max_length": 64,
        "norm_eps": 1e-5,
        "vocab_size": 120,
        "pad_token_id": 0,
        "embedding_init_range": 0.02,
        "decoder_init_range": 0.02,
        "classifier_init_range": 0.02,
        "num_labels": num_labels,
        "torch_dtype": "float32",
    }
