"""A model trained on rows as a program has them: no loaders, and the checkpoint answers rows."""

from models.factory import create_bert_with_head
from training import create_trainer

rows = [
    {"colour": colour, "kind": {"green": "lime", "red": "apple"}.get(colour, "plum")}
    for colour in ["green", "red", "blue"] * 20
]
sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96}
model = create_bert_with_head("modernbert", "multiclass", num_labels=3, **sizes)

trainer = create_trainer(model, config={"training": {"epochs": 3}, "data": {"target": "kind"}})
trainer.train(rows)  # or a path, a frame, (texts, labels), a dataset, two loaders

print(trainer.evaluate(rows))
# bert predict --checkpoint, or Predictor.load of bert_playground.inference, reads this folder.
print(trainer.path)
