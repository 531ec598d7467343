"""Statistics: what every judge shares. Arrays in, frozen records out; no torch, no files.

Scores become probabilities (:mod:`.calibration`) and outcomes, metrics measure them, intervals and paired
tests say how sure that is over draws of training rows *and* test units, decisions put tests together::

    from tlengine.statistics import interval, paired_test

    interval(correct)                      # (m,) or (J, m): mean and interval
    paired_test(correct, correct_other)    # difference on the same rows, interval, p-value
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
