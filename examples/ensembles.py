"""Several models that answer together."""

from models.factory import create_ensemble

# Create ensemble of models
ensemble = create_ensemble(
    base_model="modernbert",
    num_models=5,
    diversity_strategy="different_seeds"
)
