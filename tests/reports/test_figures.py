"""Pictures made fit for a PDF (flaws 4, 5, 11)."""

import base64
import io

import numpy as np
import pytest
import report_torture as torture
from PIL import Image
from report_samples import plots

from calibook.reports.figures import MAX_PIXELS, fit


def opened(picture):
    return Image.open(io.BytesIO(picture.content))


def png(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_a_plot_keeps_its_looks_without_alpha():
    raw = base64.b64decode(plots()[0])
    made = fit(raw, "image/png")
    before, after = (np.asarray(Image.open(io.BytesIO(b)).convert("RGB"), int) for b in (raw, made.content))
    assert not opened(made).has_transparency_data
    # 256 colours for a map with a colour bar: nobody sees 20 of 255 levels in a few pixels
    assert np.abs(before - after).max() <= 20
    assert np.abs(before - after).mean() < 1
    assert len(made.content) < 0.6 * len(raw)


def test_the_width_is_what_the_dots_per_inch_say():
    image = Image.new("RGB", (400, 100))
    assert fit(png(image, dpi=(200, 200)), "image/png").width == 192  # 2 inches of 96 pixels
    assert fit(png(image), "image/png").width == 384  # figure.dpi 100 where the file says nothing
    assert fit(png(image), "image/png", width=150).width == 150  # retina: the notebook says it


def test_transparent_parts_become_white():
    made = opened(fit(base64.b64decode(torture.dot()), "image/png")).convert("RGB")
    assert made.getpixel((0, 0)) == (255, 127, 127)


def test_vector_graphics_become_pixels():
    svg = fit(torture.SVG.encode(), "image/svg+xml")
    assert svg.mime == "image/png"
    assert opened(svg).convert("RGB").getpixel((10, 10)) == (0x33, 0x66, 0x99)
    assert svg.width == pytest.approx(200, rel=0.35)  # 200 pixels, which Typst may take for points
    pdf = fit(base64.b64decode(torture.pdf_picture()), "application/pdf")
    assert pdf.width == pytest.approx(3 * 96, abs=2)


def test_too_many_pixels_are_fewer_afterwards_at_the_same_width():
    made = fit(png(Image.new("L", (6000, 1500)), dpi=(600, 600)), "image/png")
    assert opened(made).size == (MAX_PIXELS, MAX_PIXELS // 4)
    assert made.width == 960


def test_jpeg_stays_jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (50, 50), "red").save(buffer, "JPEG")
    assert fit(buffer.getvalue(), "image/jpeg").content == buffer.getvalue()


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/svg+xml", "application/pdf"])
def test_broken_bytes_are_a_value_error(mime):
    with pytest.raises(ValueError, match="can't be read"):
        fit(b"\x89PNG nothing", mime)
