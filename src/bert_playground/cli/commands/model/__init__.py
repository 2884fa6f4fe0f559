"""bert model …: look into a model, change its form, take it elsewhere."""
