"""Text → token ids: tokenizer, token table, cache."""
