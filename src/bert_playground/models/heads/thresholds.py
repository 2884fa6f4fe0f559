"""fit_thresholds: from which probability on each label counts as there; it lives where blends decide too."""

from bert_playground.blending.thresholds import fit_thresholds as fit_thresholds
