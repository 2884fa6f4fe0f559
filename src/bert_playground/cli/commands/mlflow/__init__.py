"""bert mlflow …: what was tracked, one file for each command."""
