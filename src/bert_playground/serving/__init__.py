"""A checkpoint answers over HTTP: table rows, texts and tensors, by the pipeline that it was trained with."""
