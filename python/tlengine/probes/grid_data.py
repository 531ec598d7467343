"""The data of a grid: features, targets and parts as users give them, checked and made ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tlengine.data.units import content_digests, unit_index
from tlengine.errors import InputError
from tlengine.probes.grid_arguments import check_data, checked_budgets, checked_seeds
from tlengine.probes.grid_identity import identity_of, rows_digest
from tlengine.probes.grid_jobs import Draws, Key
from tlengine.probes.grid_splits import check_apart, read_splits
from tlengine.probes.grid_targets import Target, read_targets
from tlengine.probes.groups import check_known
from tlengine.probes.inputs import as_any_features
from tlengine.probes.sparse import is_sparse, sparse_digests
from tlengine.probes.weights import check_weights

__all__ = ["TEST_SIZE", "Data", "read_data"]

TEST_SIZE = 0.25


@dataclass(frozen=True, eq=False)
class Data:
    """What is probed: arrays and targets by name, the draws of each target, the places of all jobs.

    Attributes:
        arrays: (n, d) each, or a ``csr_array``.
        told: by what a later call knows it again, besides the arrays and codes themselves.
        weight: (n,) float64 above 0, or None where each row counts the same.
    """

    arrays: Mapping[str, Any]
    targets: Mapping[str, Target]
    draws: Mapping[str, Draws]
    places: Sequence[Key]
    told: list[Any]
    weight: npt.NDArray[np.float64] | None = None

    def without_repeats(self) -> Self:
        """Without the other seeds' jobs where all seeds have the rows of the first."""
        first = self.places[0].seed
        places = [p for p in self.places if p.seed == first or self.draws[p.target].is_seeded(p.budget)]
        return replace(self, places=places)


def read_data(
    features: Any,
    targets: Any,
    budgets: Any,
    seeds: Any,
    cv: int | None,
    test_size: float,
    split: Any,
    groups: Any,
    keys: Any,
    sample_weight: Any = None,
) -> Data:
    """What is probed, checked; arguments as :func:`tlengine.probe_grid`.

    The unit of each row is by the user's groups and keys, or by the rows of all features.

    Raises:
        InputError and its kind: data that cannot be used.
    """
    chosen, allowed = checked_seeds(seeds), checked_budgets(budgets)
    if groups is not None:
        check_known(groups)
    arrays = {name: as_any_features(X) for name, X in _named(features, "X").items()}
    labels = read_targets(_named(targets, "y"))
    check_data(arrays, labels, allowed, test_size)
    some = next(iter(arrays.values()))
    n, weight = some.shape[0], None if sample_weight is None else _weight(sample_weight, some)
    if keys is None:
        contents = [sparse_digests(X) if is_sparse(X) else X for X in arrays.values()]
        digests = content_digests(*contents)
    else:
        digests = np.asarray(keys, dtype=np.uint8)
    units, splits = unit_index(n, groups=groups, keys=digests), None
    if split is not None:
        if test_size != TEST_SIZE:
            raise InputError(
                f"test_size={test_size} beside a split of your own", hint="leave one of them out"
            )
        splits = read_splits(split, labels, chosen)
        check_apart(splits, groups, unit_index(n, keys=digests))
    draws = {
        name: Draws(name, y.codes, cv, test_size, units, None if splits is None else splits[name])
        for name, y in labels.items()
    }
    names = [[name, y.classes.tolist()] for name, y in sorted(labels.items())]
    places = [Key(*place) for place in product(arrays, labels, chosen, allowed)]
    told = [sorted(arrays), str(names), rows_digest(units, splits)]
    if weight is not None:
        told.append(identity_of(weight, "sample_weight"))
    return Data(arrays, labels, draws, places, told, weight)


def _weight(sample_weight: Any, X: Any) -> npt.NDArray[np.float64]:
    weight = check_weights(sample_weight, X)
    if len(none := np.flatnonzero(weight == 0)):
        raise InputError(
            f"sample_weight is 0 at row {none[0]}; a budget would count it", hint="leave such rows out"
        )
    return weight


def _named(values: Any, name: str) -> dict[str, Any]:
    return (
        {str(key): value for key, value in values.items()} if isinstance(values, Mapping) else {name: values}
    )
