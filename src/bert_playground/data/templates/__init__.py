"""Rows as text."""

from .templates import TEMPLATES as TEMPLATES
from .templates import Template as Template
