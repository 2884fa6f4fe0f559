"""What a table is: target, id and task, known data sets, leakage, sampling of large tables."""

from bert_playground.data.core.schema import Schema as Schema
from bert_playground.data.schema.decide import decide as decide
