"""A checkpoint answers over HTTP: table rows, texts and tensors."""
