"""Label encoders of the tasks: raw labels ↔ numbers."""
