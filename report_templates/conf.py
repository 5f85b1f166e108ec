"""Sphinx's settings for a report: calibook copies this folder, fills in its templates, adds the notebooks."""

import json
import os
from pathlib import Path

import matplotlib
import pypandoc

HERE = Path(__file__).parent
PAGE = json.loads((HERE / "report.json").read_text(encoding="utf-8"))
FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")

# nbsphinx calls plain `pandoc`; the wheel's pandoc is not on PATH.
os.environ["PATH"] = f"{Path(pypandoc.get_pandoc_path()).parent}{os.pathsep}{os.environ.get('PATH', '')}"

project = PAGE["title"]
author = copyright = ""
version = release = ""
language = "en"
exclude_patterns = ["README*", "*.jinja"]
smartquotes = False
keep_warnings = False

extensions = [
    "nbsphinx",
    "calibook.reports.sphinx.template_cache",
    "calibook.reports.sphinx.normalise",
    "calibook.reports.sphinx.formulas",
    "calibook.reports.sphinx.typst_builder",
]
# Links of a notebook to files beside it lead nowhere in a report; the rest are matters of taste.
suppress_warnings = [
    "nbsphinx.localfile",
    "nbsphinx.thumbnail",
    "toc.not_readable",
    "misc.highlighting_failure",
]
calibook_notebook_folders = {chapter["docname"]: chapter["folder"] for chapter in PAGE["chapters"]}

nbsphinx_execute = "never"
nbsphinx_codecell_lexer = "ipython3"
nbsphinx_requirejs_path = ""
nbsphinx_widgets_path = ""

html_theme = "theme"
html_theme_path = ["."]
html_title = PAGE["title"]
html_math_renderer = "mathml"
html_sidebars = {"**": ["chapters.html"]}
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = False
html_domain_indices = False
html_scaled_image_link = False
html_permalinks = False
pygments_style = "friendly"

latex_engine = "lualatex"
latex_use_xindy = False
latex_show_urls = "no"
latex_toplevel_sectioning = "chapter"
latex_domain_indices = False
latex_documents = [("index", "report.tex", "", "", "manual", False)]
latex_additional_files = ["first_page.tex", "preamble.tex"]
_FACES = "Extension=.ttf,UprightFont=*{},BoldFont=*{},ItalicFont=*{},BoldItalicFont=*{}"
_STIX = _FACES.format("", "Bol", "Italic", "BolIta")
_DEJAVU = _FACES.format("", "-Bold", "-Oblique", "-BoldOblique")
latex_elements = {
    "papersize": "a4paper",
    "pointsize": "10pt",
    "extraclassoptions": "openany,oneside",
    "fncychap": "",
    "printindex": "",
    "makeindex": "",
    "figure_align": "H",
    "pxunit": "0.75bp",  # a pixel is 1/96 inch: the normaliser gives every picture its true width
    "polyglossia": "",
    "babel": "",
    # What a face lacks (superscripts, signs) comes from DejaVu Sans.
    "fontpkg": rf"""
\directlua{{luaotfload.add_fallback("dejavu", {{"[{FONTS}/DejaVuSans.ttf]:mode=node;"}})}}
\setmainfont{{STIXGeneral}}[Path={FONTS}/,{_STIX},RawFeature={{fallback=dejavu}}]
\setsansfont{{DejaVuSans}}[Path={FONTS}/,{_DEJAVU},Scale=0.85]
\setmonofont{{DejaVuSansMono}}[Path={FONTS}/,{_DEJAVU},Scale=0.8,RawFeature={{fallback=dejavu}}]
\newfontfamily\signfont{{DejaVuSans}}[Path={FONTS}/,{_DEJAVU},Scale=0.9]
""",
    "sphinxsetup": (
        "hmargin={20mm,20mm},vmargin={24mm,22mm},verbatimwithframe=false,verbatimforcewraps=true,"
        "verbatimhintsturnover=false,VerbatimColor={RGB}{246,246,246},TitleColor={RGB}{20,33,61},HeaderFamily=\\rmfamily\\bfseries"
    ),
    "preamble": r"\input{preamble.tex}",
    "maketitle": r"\input{first_page.tex}",
    "tableofcontents": r"\reportcontents",
}
