"""A model, a configuration and two loaders: the complete training example.

The model has the published size, so an epoch wants minutes on a laptop; BERT_TRAINING__MAX_STEPS=2 shortens the run.
"""

import polars as pl
from bert_playground.config.schema import DataSection
from data.pipeline import TextPipeline
from data.schema.decide import decide
from data.templates.options import TextOptions

colours = ["green", "red", "yellow", "blue"] * 16
frame = pl.DataFrame(
    {
        "colour": colours,
        "size": [1, 2, 3, 5, 8, 13, 21, 34] * 8,
        "kind": [{"green": "lime", "red": "apple"}.get(colour, "plum") for colour in colours],
    }
)
schema = decide(frame, DataSection(target="kind", task="multiclass"))
# The model is made by sizes alone, with no place for numbers beside the text.
pipeline = TextPipeline.fit(frame, schema, TextOptions(numeric_features="off"))
train_data = pipeline.make_loader(frame[:48], batch_size=16, shuffle=True)
val_data = pipeline.make_loader(frame[48:])

from models.factory import create_bert_with_head
from training import create_trainer
import mlx.core as mx

# Create model with classification head
model = create_bert_with_head(
    model_type="modernbert",
    head_type="multiclass",
    num_labels=3,
    use_lora=True,
    lora_preset="balanced"
)

# Initialize trainer
trainer = create_trainer(
    model=model,
    config="configs/production.yaml"
)

# Train
trainer.train(train_data, val_data)
