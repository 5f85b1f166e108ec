"""Pictures made fit for a PDF: PNG without alpha, with their true size."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

SCREEN_DPI = 96  # what a browser, LaTeX's pxunit and we mean by a pixel of width
USUAL_DPI = 100  # figure.dpi of inline plots, for files that don't say
VECTOR_DPI = 200  # resolution at which vector graphics become pixels
MAX_PIXELS = 2400  # on the longer side: 300 dpi over the width of the page
COLOURS = 256
VECTOR_TYPES = {"image/svg+xml": "svg", "application/pdf": "pdf"}


@dataclass(frozen=True)
class Picture:
    """A picture: encoded bytes, MIME type, width in pixels of 1/96 inch."""

    content: bytes
    mime: str
    width: int


def fit(content: bytes, mime: str, width: int | None = None) -> Picture:
    """The picture as opaque PNG, or as JPEG if it was one.

    Alpha costs: a PDF stores it as a second image, and TeX must take it apart
    in each pass. Plots have few colours, so a palette keeps them at a third of
    the size.

    Parameters
    ----------
    content: encoded picture
    mime: image/png, image/jpeg, image/gif, image/svg+xml or application/pdf
    width: width wanted by the notebook, in pixels of 1/96 inch

    Raises
    ------
    ValueError: the bytes are no picture
    """
    from PIL import Image

    try:
        dpi = None
        if mime in VECTOR_TYPES:
            content, dpi = _rasterised(content, VECTOR_TYPES[mime]), VECTOR_DPI
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            width = width or max(1, round(image.width / (dpi or _dpi(image)) * SCREEN_DPI))
            if image.format == "JPEG" and image.mode in ("RGB", "L"):
                return Picture(content, "image/jpeg", width)
            return Picture(_png(_palette(_small(_opaque(image)))), "image/png", width)
    except Exception as error:  # Pillow and typst raise many kinds for broken bytes
        raise ValueError(f"a picture that can't be read: {type(error).__name__}") from error


def _rasterised(content: bytes, suffix: str) -> bytes:
    """Vector graphics as PNG, drawn by the PDF engine itself: nothing else to install."""
    import tempfile
    from pathlib import Path

    import typst

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"figure.{suffix}").write_bytes(content)
        page = f'#set page(width: auto, height: auto, margin: 0pt)\n#image("figure.{suffix}")'
        main = Path(folder, "main.typ")
        main.write_text(page)
        png = typst.compile(main, root=Path(folder), format="png", ppi=VECTOR_DPI, ignore_system_fonts=True)
    return png[0] if isinstance(png, list) else png  # one page is given as it is, several as a list


def _dpi(image: Image.Image) -> float:
    dpi = float(image.info.get("dpi", (USUAL_DPI,))[0])
    return dpi if 20 < dpi < 2000 else USUAL_DPI


def _opaque(image: Image.Image) -> Image.Image:
    """RGB or grey, on white."""
    from PIL import Image

    if image.mode in ("RGB", "L"):
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _small(image: Image.Image) -> Image.Image:
    """The picture, scaled down if it has more pixels than a page can show."""
    from PIL import Image

    longest = max(image.size)
    if longest <= MAX_PIXELS:
        return image
    width, height = (max(1, round(side * MAX_PIXELS / longest)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _palette(image: Image.Image) -> Image.Image:
    if image.mode == "L":
        return image
    from PIL import Image

    # Maximum coverage keeps every shade of a colour map within a few
    # levels of 255; median cut loses rare colours: thin lines, labels.
    return image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
