"""A run becomes a page that a person reads: the answer first, then the evidence.

In: a run document (the content of ``run.json``). Out: one self-contained HTML file, no script, no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["render_html"]


def render_html(document: Mapping[str, Any]) -> str:
    """The report of a run document.

    Everything in the document is text to it: names, labels and messages are escaped, thumbnails are
    decoded and encoded anew, and the page's content security policy allows neither scripts nor requests.

    Raises:
        RunFormatError: not a run document, or an incomplete one.
    """
    from tlengine.reports.page import render

    return render(document)
