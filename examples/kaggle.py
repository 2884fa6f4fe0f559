"""Models for competitions, by name."""

from models.factory import create_kaggle_model

# Auto-configured for Titanic competition
model = create_kaggle_model(
    competition="titanic",
    use_lora=True,
    ensemble_size=3  # Create ensemble
)

from models.factory import create_kaggle_model

# Optimized for specific competitions
model = create_kaggle_model("titanic")  # Binary classification
model = create_kaggle_model("house-prices")  # Regression
model = create_kaggle_model("nlp-disaster")  # Text classification
