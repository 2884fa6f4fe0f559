"""The types of what is loaded when somebody asks for it."""

from .estimators import BertClassifier as BertClassifier
from .estimators import BertEmbedder as BertEmbedder
from .estimators import BertRegressor as BertRegressor

__version__: str
