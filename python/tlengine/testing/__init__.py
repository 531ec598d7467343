"""For plugin authors: the checks that every backbone passes, and a plugin to start from.

In: a :class:`~tlengine.plugins.BackboneSpec`. Out: an ``AssertionError`` that says what is not as promised.
"""

from __future__ import annotations

from tlengine.testing.backbones import BACKBONE_CHECKS, backbone_checks, check_backbone
from tlengine.testing.template import write_plugin

__all__ = ["BACKBONE_CHECKS", "backbone_checks", "check_backbone", "write_plugin"]
