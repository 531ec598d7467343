"""Thumbnails in a report: whatever a run document holds is decoded and encoded anew, or left out."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

__all__ = ["clean_picture"]

_URI = re.compile(r"data:image/(?:jpeg|png);base64,([A-Za-z0-9+/]+={0,2})")
_LIMIT = 1 << 20
_SIDE = 512


def clean_picture(source: Any) -> str | None:
    """A ``data:`` URI of a small JPEG or PNG, encoded anew as JPEG; None for anything else.

    >>> clean_picture("javascript:alert(1)") is None
    True
    """
    from PIL import Image

    found = _URI.fullmatch(source) if isinstance(source, str) and len(source) < _LIMIT else None
    if found is None:
        return None
    try:
        with Image.open(
            io.BytesIO(base64.b64decode(found[1], validate=True)), formats=("JPEG", "PNG")
        ) as image:
            if max(image.size) > _SIDE:
                return None
            out = io.BytesIO()
            image.convert("RGB").save(out, "JPEG", quality=80)
    except Exception:  # a hostile picture can make a decoder raise anything
        return None
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
