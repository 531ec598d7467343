"""Answers you can trust from a small labelled dataset and a pretrained backbone.

Public names load on first use, so ``import tlengine`` is quick and loads no torch::

    import tlengine as tl

    ds = tl.load_dataset("photos/")                      # a folder, a table, arrays
    bb = tl.load_backbone("efficientnet-lite0")
    feats = tl.extract(ds, bb)                           # each content once, ever: rows are cached
    probe = tl.LinearProbeCV().fit(feats.X, feats.y)
    result = tl.compare(ds, bb)                          # which strategy, and does transfer help?
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
