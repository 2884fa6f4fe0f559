"""Models in the forms of other programs."""

from bert_playground.export.exported import Exported as Exported
from bert_playground.export.formats import FORMATS as FORMATS
from bert_playground.export.formats import export_model as export_model
