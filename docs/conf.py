"""Settings of Sphinx: `sphinx-build -W -b html docs build/docs` makes the pages, and refuses any warning."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_extensions")]

project = "mixgraph"
author = "the mixgraph maintainers"
version = release = installed_version("mixgraph")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mixgraph_reference"]
exclude_patterns = ["_build", "_extensions"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "dollarmath"]
default_role = "literal"  # docstrings quote code in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
html_theme = "furo"
html_title = f"mixgraph {release}"
html_show_copyright = html_copy_source = False
