"""The sections of RunConfig: one pydantic model for each heading of a configuration file."""
