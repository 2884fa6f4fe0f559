"""What the user asked for: one strict RunConfig and the merging of its sources."""

from .load import load_config as load_config
from .schema import RunConfig as RunConfig
