"""The scripts that build the documentation site, which import each other, for tests."""

import sys

from .files import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import api_pages as api_pages
import build_site as build_site
import command_pages as command_pages
import make_gallery as make_gallery
