"""Files of any format → a table of text, whole or as a stream of chunks."""
