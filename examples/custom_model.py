"""A model of config objects."""

from models.factory import ModelFactory
from models.bert import BertConfig
from models.heads import HeadConfig

# Create custom configuration
bert_config = BertConfig(
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16
)

head_config = HeadConfig(
    head_type="binary",
    use_focal_loss=True,
    hidden_dropout_prob=0.2
)

# Build model
factory = ModelFactory()
model = factory.create_model(
    bert_config=bert_config,
    head_config=head_config
)
