"""Fine-tuning: pretrained networks trained on the labels of a budget, as strategies beside the probes.

In: a view of a run's rows and a task's roles. Out: scores, and a trained network that can be kept. Importing
this room loads no torch; a fit does.

A *head* is the trainable module on top of a backbone: it reads the backbone's row, or the tokens before they
are pooled. Heads come from plugins, by the hook ``tlengine_heads``::

    from tlengine.finetuning import build_head, start_from_probe

    head = build_head("linear", 1280, 10)
    start_from_probe(head, "linear", probe.coef_, probe.intercept_)    # its logits are the probe's
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
