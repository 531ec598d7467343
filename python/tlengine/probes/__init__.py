"""Probes: classifiers solved directly on frozen features, with no SGD and no torch.

In come arrays, ``X`` (n, d) and labels ``y`` (n,); out come scikit-learn estimators, whole
regularisation paths with a certificate for every solution, and exact nearest neighbours::

    from tlengine.probes import LinearProbeCV

    probe = LinearProbeCV().fit(X, y)      # C by five folds, in one solve
    probe.C_, probe.score(X_test, y_test)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
