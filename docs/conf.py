"""Sphinx's settings for the documentation: `make docs`. Builds without network and runs no notebook."""

import os
import sys
from pathlib import Path

import pypandoc

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

# nbsphinx calls plain `pandoc`; the wheel's pandoc is not on PATH.
os.environ["PATH"] = f"{Path(pypandoc.get_pandoc_path()).parent}{os.pathsep}{os.environ.get('PATH', '')}"

from calibook import __version__  # noqa: E402

project = "calibook"
author = "the calibook developers"
copyright = author
version = release = __version__
language = "en"
smartquotes = False
default_role = "code"
exclude_patterns = ["_build", "_generated/*.inc", "**/.*"]

# `generated` writes pages and tables that follow the code into _generated, before anything is read.
extensions = [
    "sphinx.ext.autodoc",
    "nbsphinx",
    "calibook.reports.sphinx.formulas",
    "generated",
    "plain_docstrings",
]

nbsphinx_execute = "never"
nbsphinx_codecell_lexer = "ipython3"
nbsphinx_requirejs_path = ""
nbsphinx_widgets_path = ""

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 96
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries = False

html_theme = "alabaster"
html_theme_options = {
    "description": "Detector calibration where the calibration is a notebook",
    "fixed_sidebar": True,
    "page_width": "1240px",
    "sidebar_width": "230px",
    "show_powered_by": False,
    "font_family": "Helvetica, Arial, sans-serif",
    "head_font_family": "Helvetica, Arial, sans-serif",
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_static_path = ["_static"]
html_css_files = ["calibook.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_scaled_image_link = False
html_domain_indices = False
pygments_style = "friendly"
highlight_language = "text"
