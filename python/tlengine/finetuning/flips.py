"""Whether pictures may be mirrored: measured, not assumed."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tlengine.features import Backbone
from tlengine.finetuning.inputs import Inputs
from tlengine.finetuning.judging import BATCH
from tlengine.finetuning.memory import in_parts
from tlengine.finetuning.network import evaluating
from tlengine.finetuning.starting_probe import StartingProbe
from tlengine.plugins.contracts import Codes, Matrix, Roles, Rows, View

__all__ = ["flips_are_safe"]

_ERRORS = 2.0


def flips_are_safe(
    view: View, roles: Roles, backbone: Backbone, inputs: Inputs, probe: StartingProbe, known: Codes
) -> bool:
    """Whether the probe does as well on mirrored held-out rows, within two standard errors.

    Text, digits and organs have a side; textures and most animals have none. Where nothing can be held out
    nothing shows that it is safe.

    Args:
        view: the rows; pictures.
        roles: of the fit.
        backbone: pretrained.
        inputs: of the fit.
        probe: on the frozen features.
        known: (K,) classes of the training rows.
    """
    if probe.held_out is None:
        return False
    from tlengine.probes import LinearProbe

    held = roles.held
    codes = view.codes(held)
    mirrored = _mirrored(view, backbone, inputs, np.unique(held))
    wrong = np.empty(len(held))
    end = 0
    for fit, rows in roles.inner:
        start, end = end, end + len(rows)
        fold = LinearProbe(C=probe.C, tol=1e-2).fit(view.features(fit), view.codes(fit))
        plain = fold.predict(view.features(rows)) == codes[start:end]
        other = fold.predict(mirrored[np.searchsorted(np.unique(held), rows)]) == codes[start:end]
        wrong[start:end] = plain.astype(float) - other
    error = wrong.std(ddof=1) / np.sqrt(len(wrong)) if len(wrong) > 1 else 0.0
    return bool(wrong.mean() <= _ERRORS * error)


def _mirrored(view: View, backbone: Backbone, inputs: Inputs, rows: Rows) -> Matrix:
    """(m, d) features of the mirrored pictures."""

    def part(some: Rows) -> Matrix:
        turned = [one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in view.contents(some)]
        batch = inputs.collate(
            [inputs.augmentation.view(one, backbone.preprocess, b"", -1) for one in turned]
        )
        found = backbone.module(**batch) if isinstance(batch, dict) else backbone.module(batch)
        return np.asarray(found.float().cpu().numpy())

    with evaluating(backbone.module):
        return np.concatenate(list(in_parts(rows, BATCH, part, inputs.device)))
