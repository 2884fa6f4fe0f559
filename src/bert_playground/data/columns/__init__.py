"""What a column's cells are, and how numbers, dates and categories in them are parsed."""
