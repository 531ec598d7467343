"""Features: datasets through backbones, each content embedded once, ever.

In: a :class:`~tlengine.data.Dataset` and a backbone (by name, or a module of your own). Out:
:class:`~tlengine.types.Features`, and rows in the embedding cache. Importing this room loads no torch;
using a backbone does.
"""

import os

import lazy_loader

# OpenMP threads that spin while they wait for each other make a busy machine slow: two threads on two cores
# that others use as well took ten times as long. torch reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
