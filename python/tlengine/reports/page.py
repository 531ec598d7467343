"""The HTML page: template, style and the policy that forbids everything else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tlengine.data.filenames import inert
from tlengine.evaluation import check_document
from tlengine.reports.view import page_view

__all__ = ["render"]


def render(document: Mapping[str, Any]) -> str:
    """The page of a run document, checked first."""
    check_document(document, "the run")
    environment = _environment()
    style = environment.get_template("report.css").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("report.html").render(policy=policy, **page_view(document))


def _without_control(value: Any) -> Any:
    """Names of files and classes are anybody's text: no control character, no turn of direction in a page."""
    return inert(value) if type(value) is str else value


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("tlengine.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_control,
    )
