"""The six heads: one for each kind of question."""

from models.heads import BinaryClassificationHead

head = BinaryClassificationHead(
    hidden_size=768,
    hidden_dropout_prob=0.1,
    use_focal_loss=True,  # For imbalanced datasets
    focal_gamma=2.0,
    temperature_scaling=1.0  # For calibration
)

from models.heads import MulticlassClassificationHead

head = MulticlassClassificationHead(
    hidden_size=768,
    num_labels=10,
    label_smoothing=0.1,  # Regularization
    use_multiclass_focal=False
)

from models.heads import MultilabelClassificationHead

head = MultilabelClassificationHead(
    hidden_size=768,
    num_labels=20,
    pos_weight=None,  # For class imbalance
    adaptive_threshold=True  # Learn optimal thresholds
)

from models.heads import RegressionHead

head = RegressionHead(
    hidden_size=768,
    loss_type="mse",  # mse, mae, huber
    uncertainty_estimation=True  # Predict uncertainty
)

from models.heads import OrdinalRegressionHead

head = OrdinalRegressionHead(
    hidden_size=768,
    num_classes=5,  # Ordinal categories
    use_cumulative_link=True
)

from models.heads import TimeSeriesRegressionHead

head = TimeSeriesRegressionHead(
    hidden_size=768,
    forecast_horizon=24,
    use_temporal_features=True
)
