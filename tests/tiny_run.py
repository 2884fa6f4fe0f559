"""TINY_RUN: settings of the smallest encoder and the shortest training, for tests of what happens around them."""

TINY_RUN: dict[str, object] = {
    "model.hidden_size": 16,
    "model.num_layers": 1,
    "model.num_heads": 2,
    "model.vocab_size": 200,
    "training.epochs": 1,
    "training.batch_size": 16,
    "training.precision": "f32",
    "training.use_compilation": False,
}
