"""Models by name, in one line each."""

from models.factory import create_model

# Quick model creation
model = create_model("bert", num_labels=2)
model = create_model("modernbert", head_type="regression")
model = create_model("neobert", use_lora=True)
