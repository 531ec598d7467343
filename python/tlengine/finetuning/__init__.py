"""Fine-tuning: pretrained networks trained on the labels of a budget, as strategies beside the probes.

In: a view of a run's rows and a task's roles. Out: scores, and a trained network that can be kept. Importing
this room loads no torch; a fit does.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
