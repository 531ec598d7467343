"""Fine-tuning: a backbone's weights, or a few more beside them, learn with a head on top.

In: a :class:`~tlengine.features.Backbone`, which says its blocks, and labelled samples. Out: a network whose
logits are judged like any strategy's. Torch is imported inside; importing this room loads none of it.

A *head* is the trainable module on top: it reads the backbone's row, or the tokens before they are pooled.
Heads come from plugins, by the hook ``tlengine_heads``::

    from tlengine.finetuning import build_head, start_from_probe

    head = build_head("linear", 1280, 10)
    start_from_probe(head, "linear", probe.coef_, probe.intercept_)    # its logits are the probe's
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
