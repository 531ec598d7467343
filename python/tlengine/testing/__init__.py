"""For plugin authors: the checks of backbones and heads, a view to try strategies on, and a template.

In: a :class:`~tlengine.plugins.BackboneSpec` or :class:`~tlengine.plugins.HeadSpec`. Out: an
``AssertionError`` that says what is not as promised.
"""

from __future__ import annotations

from tlengine.testing.backbones import BACKBONE_CHECKS, backbone_checks, check_backbone
from tlengine.testing.heads import HEAD_CHECKS, check_head, head_checks
from tlengine.testing.template import write_plugin
from tlengine.testing.views import ArrayView

__all__ = [
    "BACKBONE_CHECKS",
    "HEAD_CHECKS",
    "ArrayView",
    "backbone_checks",
    "check_backbone",
    "check_head",
    "head_checks",
    "write_plugin",
]
