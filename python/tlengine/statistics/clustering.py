"""The variance of a mean over draws of training rows *and* test units.

A test row appears under several draws, and a draw tests many rows, so neither is independent of the others
(two-way clustering: Cameron, Gelbach & Miller, JBES 2011). Of a value found at draw j and unit u the model is

    value + draw effect g_j + unit effect r_u + noise e_ju

and the variance of the mean has two terms. That of the units comes from their sums, each inflated by its
leverage (CR2: Bell & McCaffrey, Survey Methodology 2002), which also carries the noise. That of the draws is
s^2 / J less what units and noise alone would make the values of J draws vary, never below 0. Degrees of
freedom are Satterthwaite's; those of the units fall with their inequality.

The second term is known badly where J is small, so up to ``FEW_DRAWS`` draws an interval is never shorter,
and a p-value never smaller, than that of the J values alone with J - 1 degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, ShapeMismatchError

__all__ = ["FEW_DRAWS", "Cells", "Spread", "quantile", "upper_tail"]

FloatArray = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]
FEW_DRAWS = 5


def quantile(df: float, level: float) -> float:
    """Of Student's distribution, such that ``level`` lies between minus it and it.

    Raises:
        InputError: a level that is not between 0 and 1.
    """
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise InputError(f"level {level}", hint="a level is between 0 and 1, such as 0.95")

    return float(stdtrit(df, 0.5 + level / 2))


def upper_tail(t: float, df: float) -> float:
    """How often Student's t is larger."""
    from scipy.special import stdtr

    return float(stdtr(df, -t))


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """What was found, one entry for each test row of each draw.

    Attributes:
        values: (J,) what each draw found.
        each: (N,) what an entry adds to the deviation of its draw's value; adds up to 0 in every draw.
        unit: (N,) its unit, numbered from 0, perhaps with gaps.
        draw: (N,) its draw, numbered from 0, none left out.
    """

    values: FloatArray
    each: FloatArray
    unit: Numbers
    draw: Numbers

    @classmethod
    def of(cls, values: FloatArray, each: list[FloatArray], units: list[Numbers]) -> Cells:
        """Of lists with one array for each draw."""
        if any(len(e) != len(u) for e, u in zip(each, units, strict=True)):
            raise ShapeMismatchError("as many units as test rows are needed in every draw")
        draw = np.repeat(np.arange(len(values)), [len(e) for e in each])
        return cls(values=values, each=np.concatenate(each), unit=np.concatenate(units), draw=draw)

    @property
    def value(self) -> float:
        """Mean over the draws."""
        return float(self.values.mean())


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The variance of a mean over draws, in its parts.

    Attributes:
        unit, unit_df: the variance from test units (and noise), and its degrees of freedom.
        draw: the variance from draws beyond that; 0 for one draw.
        between: s^2 / J, the variance of the mean were the J values alone known.
        third: the third cumulant of the mean, from units.
        draws, units: how many there are. effective_units: as good as so many of equal size.
        grouped: how much units are groups: 0 where each is one row, near 1 where they are many.
        entries: how many values were found.
        observations: as many independent ones as would have this variance from units.
    """

    unit: float
    unit_df: float
    draw: float
    between: float
    third: float
    draws: int
    units: int
    effective_units: float
    grouped: float
    entries: int
    observations: float

    @property
    def variance(self) -> float:
        """Of the mean."""
        return self.unit + self.draw

    @property
    def df(self) -> float:
        """Satterthwaite's, of both parts."""
        if not self.draw:
            return self.unit_df
        return self.variance**2 / (self.unit**2 / self.unit_df + self.draw**2 / (self.draws - 1))

    @property
    def few(self) -> bool:
        """Whether there are so few draws that their values alone are heard too."""
        return 1 < self.draws <= FEW_DRAWS

    def reach(self, level: float) -> float:
        """Half the length of the interval at this level."""
        reach: float = quantile(self.df, level) * self.variance**0.5
        if self.few:
            reach = max(reach, quantile(self.draws - 1, level) * self.between**0.5)
        return reach

    def tail(self, distance: float) -> float:
        """One-sided p-value of a mean so far from the hypothesis; 0.5 for no distance."""
        tail = _tail(distance, self.variance, self.df)
        if self.few:
            tail = max(tail, _tail(distance, self.between, self.draws - 1)) if distance > 0 else tail
        return tail

    def scaled(self, *, units: float = 1.0, draws: float = 1.0) -> Spread:
        """As it would be with so many times the test units, or the draws."""
        return replace(
            self,
            unit=self.unit / units,
            unit_df=self.unit_df * units,
            draw=self.draw / draws,
            between=(self.draw + (self.between - self.draw) / units) / draws,
            units=round(self.units * units),
            draws=round(self.draws * draws),
        )

    @classmethod
    def of(cls, cells: Cells) -> Spread:
        """Estimate it.

        >>> column = np.array([1.0, 1, 0, 1])
        >>> cells = Cells.of(np.array([0.75]), [(column - 0.75) / 4], [np.arange(4)])
        >>> spread = Spread.of(cells)
        >>> round(spread.variance, 9), spread.df
        (0.0625, 3.0)
        """
        n_draws, n_rows = len(cells.values), np.bincount(cells.draw)
        weight = 1.0 / (n_draws * n_rows)
        size = np.bincount(cells.unit).astype(np.float64)
        present = size > 0
        size, share = size[present], _sums(cells.unit, weight[cells.draw])[present]
        own = cells.each / n_draws
        moved = own + ((cells.values - cells.value) * weight)[cells.draw]
        by_unit = _inflated(_sums(cells.unit, moved)[present], share)
        alone = float((own**2 * (n_rows / np.maximum(1, n_rows - 1))[cells.draw]).sum())
        unit = float((by_unit**2).sum())
        between = float(cells.values.var(ddof=1)) / n_draws if n_draws > 1 else 0.0
        return cls(
            unit=unit,
            unit_df=_unit_df(unit, alone, share, size),
            draw=max(0.0, between - _chance_between(cells, own, weight)) if n_draws > 1 else 0.0,
            between=between,
            third=float((by_unit**3).sum()),
            draws=n_draws,
            units=len(share),
            effective_units=float(1.0 / (share**2).sum()),
            grouped=_grouped(cells, share, present),
            entries=len(own),
            observations=_observations(unit, alone, len(share), len(own)),
        )


def _sums(number: Numbers, weights: FloatArray) -> FloatArray:
    return np.asarray(np.bincount(number, weights=weights))


def _tail(distance: float, variance: float, df: float) -> float:
    if variance > 0:
        return upper_tail(distance / variance**0.5, df)
    return 0.5 if distance == 0 else float(distance < 0)


def _inflated(sums: FloatArray, share: FloatArray) -> FloatArray:
    """Sums of deviations over the square root of what their own mean leaves of them; alone, they are 0."""
    return np.asarray(sums / np.sqrt(np.where(share < 1 - 1e-12, 1.0 - share, 1.0)))


def _grouped(cells: Cells, share: FloatArray, present: npt.NDArray[np.bool_]) -> float:
    """One less the variance of the mean were rows independent, over that were the rows of a unit equal."""
    n_draws = len(cells.values)
    pairs = np.bincount(cells.unit * n_draws + cells.draw, minlength=len(present) * n_draws)
    rows = pairs.reshape(-1, n_draws).max(axis=1)[present]
    return float(1.0 - (share**2 / rows).sum() / (share**2).sum())


def _unit_df(unit: float, alone: float, share: FloatArray, size: FloatArray) -> float:
    """Degrees of freedom of the variance from units: (sum of their variances)^2 / sum of squares, less one.

    A unit of size n has the variance share^2 (rho + (1 - rho) / n), and rho is what makes their sum ``unit``
    where rows alone make ``alone``.
    """
    whole, single = float((share**2).sum()), float((share**2 / size).sum())
    rho = 1.0
    if alone > 0 and whole > single * (1 + 1e-9):
        rho = min(1.0, max(0.0, single * (unit / alone - 1.0) / (whole - single)))
    variances = share**2 * (rho + (1.0 - rho) / size)
    return max(1.0, float(variances.sum() ** 2 / (variances**2).sum()) - 1.0)


def _observations(unit: float, alone: float, n_units: int, n_rows: int) -> float:
    """Rows over their design effect; units where nothing varies."""
    if unit <= 0:
        return float(n_units)
    return min(float(n_rows), max(1.0, n_rows * alone / unit))


def _chance_between(cells: Cells, own: FloatArray, weight: FloatArray) -> float:
    """The expectation of s^2 / J if no draw differed from another but by its test rows and noise.

    With B the sum of the draws' own variances of their part of the mean and U that of the mean, both within
    draws, the covariances of two draws add up to U - B, and s^2 / J has the expectation (J B - U) / (J - 1).
    """
    n_draws = len(cells.values)
    pair = cells.unit * n_draws + cells.draw
    share = _sums(pair, weight[cells.draw] * n_draws)
    sums = _inflated(_sums(pair, own), share)
    unit = np.arange(len(sums)) // n_draws
    mean = float((_sums(unit, sums) ** 2).sum())
    return max(0.0, (n_draws * float((sums**2).sum()) - mean) / (n_draws - 1))
