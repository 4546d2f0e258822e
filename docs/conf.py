"""How the documentation is built: ``sphinx-build -W docs build/docs``."""

import re
from importlib import metadata

project = "adu-bench"
author = "The adu-bench developers"
copyright = f"2026, {author}"
release = metadata.version("adu-bench")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
# Docstrings name objects in single backticks; what is documented becomes a link.
default_role = "py:obj"
napoleon_google_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

# Blocks without a language are commands and what they print.
highlight_language = "none"

html_theme = "furo"
html_title = f"adu-bench {release}"
html_copy_source = False
html_show_sourcelink = False


def as_files(app, name, source):
    """Link Markdown files outside this folder as files, since they are not pages of the site."""
    source[0] = re.sub(r"\]\((\.\./[^)#]+\.md)\)", r"](<path:\1>)", source[0])


def setup(app):
    """Register the hook of Sphinx."""
    app.connect("source-read", as_files)
