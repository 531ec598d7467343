"""Heads: the trainable modules that turn a backbone's rows, or its tokens, into logits.

In: a name from the registry, what is read (columns, or tokens and columns), a number of classes and settings.
Out: a ``torch.nn.Module``, built, started from a probe or from class means, saved and loaded.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
