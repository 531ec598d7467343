"""The recommended probe as something to keep: saved with its backbone's fingerprint, applied to new data."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from tlengine.errors import BackboneError, HeadFormatError, InputError, ShapeMismatchError
from tlengine.evaluation.check_file import read_check_rows, write_check_rows
from tlengine.evaluation.strategies import read_scores
from tlengine.statistics import named, probabilities
from tlengine.types import CheckRows, Features

if TYPE_CHECKING:
    from tlengine.features import Backbone

__all__ = ["Model", "from_pretrained", "predictions_csv"]

_FORMAT = "tlengine-model"
NETWORK = "tlengine-network"
"""The format of :mod:`tlengine.finetuning.network_file`, told without loading torch."""
_EQUAL = {"float32": 1e-4, "fp16": 4e-3, "bf16": 3e-2}
"""How far embeddings of equal weights may be apart, relative to the largest number of a row.

In half precision about eight units in the last place: batches of another size are added up in another order.
"""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these for a formula."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A probe, how its scores become probabilities, and the backbone it belongs to.

    Attributes:
        estimator: fitted on the labels as the user wrote them.
        calibration: ``{"kind": "logits" | "votes", "value": ..., "reading": ...}``: what its scores are, the
            temperature or the weight of smoothing, and where the scores come from.
        metadata: ``backbone fingerprint modality recipe strategy classes …``.
        check_rows: three samples as the network gets them, with their embeddings; None where the model was
            fitted on plain arrays, or where they are larger than 8 MiB.
    """

    estimator: Any
    calibration: Mapping[str, Any]
    metadata: Mapping[str, Any]
    check_rows: CheckRows | None = None
    reads: ClassVar[Literal["features"]] = "features"

    @property
    def classes(self) -> npt.NDArray[Any]:
        """The labels, in the order of the columns of the probabilities."""
        return np.asarray(self.estimator.classes_)

    @property
    def fingerprint(self) -> str | None:
        """Of the backbone whose features the probe was fitted on."""
        return self.metadata.get("fingerprint")

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write the model with the estimator's ``save_pretrained``, and ``check.safetensors`` beside it."""
        kept = {**self.metadata, "format": _FORMAT, "calibration": dict(self.calibration)}
        if self.check_rows is not None:
            kept["check"] = write_check_rows(self.check_rows, Path(directory))
        return Path(self.estimator.save_pretrained(directory, metadata=kept))

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Model:
        """Read a model; nothing in it is executed.

        Raises:
            FileNotFoundError, UnsafeArtifactError, HeadFormatError: see :func:`from_pretrained`; also for a
                probe that was saved on its own, without a backbone.
        """
        found = from_pretrained(directory)
        if not isinstance(found, cls):
            raise HeadFormatError(
                f"{directory} holds a {type(found).__name__}, but not the model of a run on features",
                hint="pass the model/ folder that tlengine compare --out or probe --out wrote",
            )
        return found

    def predict_proba(self, X: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Probabilities (n, K) of features (n, d).

        Raises:
            ShapeMismatchError: another number of columns than the probe was fitted on.
        """
        if X.shape[1] != self.estimator.n_features_in_:
            raise ShapeMismatchError(
                f"the features have {X.shape[1]} columns, the model takes {self.estimator.n_features_in_}"
            )
        kind, scores = read_scores(self.estimator, X, self.calibration.get("reading", "offered"))
        return probabilities(kind, scores, self.calibration["value"])

    def check_fingerprint(self, found: str | None, name: str) -> None:
        """Refuse features of another backbone.

        Raises:
            BackboneError: the fingerprints differ.
        """
        if found != self.fingerprint:
            raise self._other_backbone(found, name, "weights, structure, preprocessing or revision changed")

    def for_backbone(self, backbone: Backbone, *, device: str = "cpu") -> Model:
        """This model, for the features of ``backbone``, if that gives the embeddings it was fitted on.

        Where weights and preprocessing are the model's own and only the text of the structure is another one
        (as after an update of a library), the model's three samples are embedded again; where the result
        is the same (to 1e-4 in float32, 4e-3 in fp16, 3e-2 in bf16), the model that is returned has the
        fingerprint of ``backbone``.

        Raises:
            BackboneError: other weights, another preprocessing or revision, or other embeddings.
        """
        found = backbone.fingerprints()
        if found.digest == self.fingerprint:
            return self
        known = self.metadata.get("recipe", {})
        if known and "layer" not in known:
            what = "saved by an earlier tlengine, whose keys were of another kind"
            raise self._other_backbone(found.digest, backbone.name, what)
        changed = [part for part, digest in found.as_dict().items() if known.get(part) != digest]
        if changed != ["structure"] or self.check_rows is None:
            what = f"what changed: {', '.join(changed)}" if known else "what changed is not known"
            if changed == ["structure"]:
                what += ", and the model's kept samples are missing"
            raise self._other_backbone(found.digest, backbone.name, what)
        from tlengine.features.checking import largest_difference

        precision = str(known.get("precision", "float32"))
        apart = largest_difference(self.check_rows, backbone, device=device, precision=precision)
        limit = _EQUAL.get(precision, _EQUAL["float32"])
        if not apart <= limit:
            kept = len(self.check_rows.X)
            what = f"its embeddings of {kept} kept samples differ by {apart:.1e}, limit {limit:g}"
            raise self._other_backbone(found.digest, backbone.name, what)
        return replace(self, metadata={**self.metadata, "fingerprint": found.digest})

    def _other_backbone(self, found: str | None, name: str, why: str) -> BackboneError:
        from tlengine.features.checking import other_backbone

        return other_backbone(found, name, self.fingerprint, why)

    def predict(self, features: Features, *, top_k: int = 3) -> list[dict[str, Any]]:
        """The most probable labels of every row.

        Args:
            features: rows to classify; their fingerprint is checked.
            top_k: how many labels to name, clamped to the number of classes.

        Returns:
            Records ``{"id", "label", "probability", "top": [{"label", "probability"}, …]}``.

        Raises:
            BackboneError: features of another backbone.
            InputError: ``top_k`` below 1; arrays, which do not say what backbone they come from.
        """
        if not isinstance(features, Features):
            raise InputError(
                f"a {type(features).__name__} is no Features",
                hint="pass what tl.extract returns; predict_proba and estimator.predict take arrays",
            )
        self.check_fingerprint(features.fingerprint, str(features.backbone))
        return named(features.ids, self.classes, self.predict_proba(features.X), top_k)


def from_pretrained(path: str | os.PathLike[str], *, backbone: Backbone | None = None) -> Any:
    """What was saved at ``path``: the model of a run, a network, or a probe; no file can make it run code.

    Args:
        path: the directory, or the ``model.safetensors`` inside it.
        backbone: the one that the model was fitted with, where it is a module of your own; a network needs
            it, a :class:`Model` is checked against it. None loads that of a network by its name.

    Returns:
        A :class:`~tlengine.finetuning.NetworkModel`, which takes samples, where a fine-tuned network was
        saved. A :class:`Model`, which takes features, where ``compare`` or ``probe --out`` wrote it: it
        calibrates, and refuses features of another backbone. Otherwise the fitted estimator that
        ``save_pretrained`` wrote, with ``metadata_`` as it was given.

    Raises:
        FileNotFoundError: nothing is there.
        UnsafeArtifactError: a pickle, joblib or torch file; it is not opened further.
        HeadFormatError: anything else that is not a complete, undamaged saved model.
        BackboneError: another backbone than the model was fitted with.
        UnknownNameError, MissingPackageError: nothing here brings the backbone or the head of a network.

    >>> import numpy as np, tempfile, tlengine as tl
    >>> clf = tl.RidgeProbe().fit(np.eye(4, dtype=np.float32), ["a", "a", "b", "b"])
    >>> where = clf.save_pretrained(tempfile.mkdtemp(), metadata={"backbone": "raw"})
    >>> tl.from_pretrained(where).metadata_
    {'backbone': 'raw'}
    """
    from tlengine.probes import from_pretrained
    from tlengine.probes.container import format_of, locate

    if format_of(locate(Path(path))) == NETWORK:
        from tlengine.finetuning import NetworkModel

        return NetworkModel.from_pretrained(path, backbone=backbone)
    estimator = from_pretrained(path)
    metadata = dict(estimator.metadata_)
    calibration, check = metadata.pop("calibration", None), metadata.pop("check", None)
    if metadata.pop("format", None) != _FORMAT:
        return estimator
    if not _is_calibration(calibration):
        raise HeadFormatError(
            f"{path} holds a model whose calibration is {calibration!r:.80}",
            hint="another tlengine wrote it; run compare again",
        )
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    kept = None if check is None else read_check_rows(folder, str(check))
    model = Model(estimator=estimator, calibration=calibration, metadata=metadata, check_rows=kept)
    return model if backbone is None else model.for_backbone(backbone)


def _is_calibration(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("kind") in ("logits", "votes")
        and isinstance(value.get("value"), float | int)
    )


def predictions_csv(predictions: Sequence[Mapping[str, Any]]) -> str:
    """Predictions as CSV: ``id,label,probability`` and ``label_2,probability_2,…``.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.

    >>> print(predictions_csv([{"id": "=1+1", "top": [{"label": "cat", "probability": 0.9}]}]), end="")
    id,label,probability
    '=1+1,cat,0.9
    """
    width = max((len(p["top"]) for p in predictions), default=1)
    suffixes = ["", *(f"_{place}" for place in range(2, width + 1))]
    names = [name + suffix for suffix in suffixes for name in ("label", "probability")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", *names])
    for prediction in predictions:
        cells = [cell for top in prediction["top"] for cell in (_inert(top["label"]), top["probability"])]
        writer.writerow([_inert(prediction["id"]), *cells])
    return out.getvalue()


def _inert(text: str) -> str:
    """Reversible: a text that began with an apostrophe and a formula gets another apostrophe."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
