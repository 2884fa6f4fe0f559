"""Smaller encoders out of a trained one: pruned, trimmed, distilled, quantized."""

from bert_playground.compression.compress import compress_checkpoint as compress_checkpoint
from bert_playground.compression.recipe import Recipe as Recipe
from bert_playground.compression.study import search_recipes as search_recipes
