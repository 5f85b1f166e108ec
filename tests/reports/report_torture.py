"""A notebook with everything that has ever broken a report."""

import base64
import io

import nbformat
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Plot
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from report_samples import frame_cell, picture_cell, png, stream_cell

SECRET_CODE = "secret_code_of_a_cell"

PROSE = r"""Torture
=======

Prose with C:\data\raw, a bare \word, 100 % & #hashes, $5 and _under_scores_, `code_with_{braces}`,
"quotes", (brackets), #set page(width: 1cm), #panic("typst"), @label <label>,
\input{/etc/passwd}, ~tilde~ ^hat^.

# A second title

Formulas: $\text{a_b}$, $\unknownmacro{x}$, $\sigma_{\chi}^2 = \frac{1}{2}$ and $x < y \& z$.

$$\begin{align} a &= b \\ c &= d \end{align}$$

\begin{align}
E &= \alpha x + \beta \label{eq:one} \\
F &= \gamma
\end{align}

$$\frac{1$$

$$ \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} \quad \sum_{i=0}^{N} x_i \tag{3} $$

### A jump of two levels

1. one
2. two
    * nested
    * list

> A quotation.

| wide | table |
|------|-------|
| a cell whose words go on and on, until the line must be broken, because no page is wide enough for it | 1 |
| endlessendlessendlessendlessendlessendlessendlessendlessendlessendlessendlessendlessendlessendless | 2 |

<div class="alert alert-warning">**Careful** in a box</div>

<div class="alert alert-info">

A hint in a box

</div>

![remote](https://example.org/remote.png) ![missing](missing.png) ![attached](attachment:dot.png)

[a link](https://example.org/page) [a local file](other.txt) [a section](#A-second-title)[^1]

Line one<br>line two, H~2~O, <sub>low</sub>, <script>alert("no")</script>

Term
:   Definition

---

```python
print("fenced # heading")
# not a heading
```

漢字 кириллица ελληνικά 🎉 ∅ ⇒ █ ░

Endless: LOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOONG

[^1]: A footnote.
"""

STDOUT = (
    'µ ± χ² • ✓ → █░ 漢字 🎉 \\begin{x} #set $x$ "quoted" %d\n'
    "\x1b[31mred\x1b[0m \x07bell \x0cpage \x00nul \x1b]0;title\x07after\n"
    "  0%\r 50%\r100% done\nwrongg\bright\n"
    "half a pair: \ud800 end\n" + "x" * 3000 + "\n" + "\n".join(f"line {n}" for n in range(400)) + "\n"
)

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100">'
    '<rect width="200" height="100" fill="#369"/></svg>'
)


def dot() -> str:
    """A small half-transparent PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _plot(width: float, height: float) -> Plot:
    plot = Plot(figsize=(width, height), layout="constrained")
    plot.subplots().plot([0, 1], [0, 1])
    return plot


def pdf_picture() -> str:
    """A plot as PDF, base64."""
    buffer = io.BytesIO()
    _plot(3, 2).savefig(buffer, format="pdf")
    return base64.b64encode(buffer.getvalue()).decode()


def _display(data: dict, **metadata) -> nbformat.NotebookNode:
    return new_code_cell(SECRET_CODE, outputs=[new_output("display_data", data=data)], metadata=metadata)


def _tables() -> list[nbformat.NotebookNode]:
    random = np.random.default_rng(0)
    wide = pd.DataFrame(random.normal(size=(4, 18)), columns=[f"column_{n:02}" for n in range(18)])
    long = pd.DataFrame({"counts": np.arange(45)}, index=[f"row {n}" for n in range(45)])
    columns = pd.MultiIndex.from_product([["high", "low"], ["mean", "std"]])
    levels = pd.DataFrame(random.normal(size=(2, 4)), columns=columns, index=["<first>", "second & more"])
    ugly = pd.DataFrame({"words": ["w" * 200, "some words " * 30], "n": [1, np.nan]})
    return [frame_cell(frame) for frame in (wide, long, levels, ugly)]


def torture_notebook() -> nbformat.NotebookNode:
    """The notebook; every code cell's source is SECRET_CODE."""
    prose = new_markdown_cell(PROSE)
    prose["attachments"] = {"dot.png": {"image/png": dot()}}
    broken = base64.b64encode(b"\x89PNG broken").decode()
    error = new_output(
        "error", ename="ValueError", evalue="why", traceback=["\x1b[0;31mValueError\x1b[0m: why {x}"]
    )
    cells = [
        prose,
        stream_cell(STDOUT, source=SECRET_CODE),
        stream_cell("stderr must not be seen", "stderr", SECRET_CODE),
        *_tables(),
        picture_cell(png(_plot(6, 4))),
        picture_cell(png(_plot(16, 12))),
        picture_cell(png(_plot(3, 30), 50)),
        picture_cell(dot()),
        _display({"image/svg+xml": SVG}),
        _display({"application/pdf": pdf_picture()}),
        _display({"image/png": broken, "text/plain": "<Figure>"}),
        _display({"image/png": "not base64 at all!", "text/plain": "<Figure>"}),
        _display({"text/latex": "$\\displaystyle \\frac{a}{b}$", "text/plain": "a/b"}),
        _display({"text/latex": "$$\\unknown{c}$$"}),
        _display({"text/latex": "\\begin{tabular}{l}x\\end{tabular}", "text/plain": "a plain x"}),
        _display({"text/markdown": "**bold** `display`"}),
        _display({"text/html": "<b>html only</b> &amp; more"}),
        _display(
            {"text/html": "<script src='https://example.org/x.js'></script>", "text/plain": "plotly plain"}
        ),
        _display({"application/javascript": "alert(1)"}),
        _display({"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "0%| | 0/5"}),
        _display({}),
        _display({"text/plain": "hidden by nbsphinx"}, nbsphinx="hidden"),
        _display({"text/plain": "removed with its cell"}, tags=["remove-cell"]),
        _display({"text/plain": "shown without input"}, tags=["remove-input"]),
        _display({"text/plain": "removed output"}, tags=["remove-output"]),
        new_code_cell(SECRET_CODE, outputs=[error]),
        new_raw_cell("\\undefined raw cell"),
        new_code_cell(""),
        new_markdown_cell(""),
    ]
    return new_notebook(cells=cells)
