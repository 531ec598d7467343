"""For plugin authors: the checks that every backbone passes, a view to try strategies on, and a template.

In: a :class:`~tlengine.plugins.BackboneSpec`. Out: an ``AssertionError`` that says what is not as promised.
"""

from __future__ import annotations

from tlengine.testing.backbones import BACKBONE_CHECKS, backbone_checks, check_backbone
from tlengine.testing.template import write_plugin
from tlengine.testing.views import ArrayView

__all__ = ["BACKBONE_CHECKS", "ArrayView", "backbone_checks", "check_backbone", "write_plugin"]
