"""Rows as text."""

from .text import TEMPLATES as TEMPLATES
from .text import Template as Template
