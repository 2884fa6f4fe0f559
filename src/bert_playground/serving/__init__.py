"""A checkpoint answers over HTTP: table rows by the pipeline it was trained with, and text in the shapes of TEI, OpenAI and KServe."""
