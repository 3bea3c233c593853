"""Fits the coefficients of a kernel formula and judges them by leaving each GPU out.

Every coefficient is positive and fitted in its logarithm: a universal value plus, where the
formula's table says so, a deviation per scope (engine, kernel, format) that is drawn towards zero
by a soft-L1 pull, which makes the universal value a median over scopes rather than their mean.
A scope that only the left-out GPU has is answered by the universal value. Loss: soft L1 of the log
ratio, every (GPU, table) weighing the same, so that no large table outvotes the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from kernel_tables import Family

SOFTNESS = 0.08  # log ratio at which the loss turns from squared to linear
Times = Callable[[Family, dict[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Coefficient:
    """One coefficient: start value, unit, meaning; how far it may stray.

    spread: standard deviation (in the logarithm) of a scope's deviation, None for a universal one;
    prior: that of the universal value around the start, None for free, 0 for fixed.
    """

    name: str
    start: float
    unit: str
    meaning: str
    spread: float | None = None
    prior: float | None = None


@dataclass(frozen=True)
class Fit:
    """Fitted logarithms: universal values, and deviations by scope."""

    universal: dict[str, float]
    deviation: dict[str, dict[str, float]] = field(default_factory=dict)

    def values(self, scopes: np.ndarray) -> dict[str, np.ndarray]:
        """Coefficients of each row, by its scope."""
        kinds, codes = np.unique(scopes.astype(str), return_inverse=True)
        out = {}
        for name, value in self.universal.items():
            own = self.deviation.get(name, {})
            out[name] = np.exp(value + np.array([own.get(kind, 0.0) for kind in kinds]))[codes]
        return out


def sample(data: Family, per_table: int) -> Family:
    """At most so many rows of each table, picked by a fixed pseudo-random order."""
    order = np.random.default_rng(5).permutation(len(data.seconds))
    tables = data.table[order].astype(str)
    _, codes = np.unique(tables, return_inverse=True)
    ranked = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[ranked], np.arange(codes.max() + 1))
    rank = np.arange(len(codes)) - starts[codes[ranked]]
    return data.take(np.sort(order[ranked[rank < per_table]]))


def table_weights(data: Family) -> np.ndarray:
    """Weights that give every table the same sum, with mean 1."""
    _, codes, counts = np.unique(data.table.astype(str), return_inverse=True, return_counts=True)
    weights = 1.0 / counts[codes]
    return weights / weights.mean()


def _root(ratio: np.ndarray) -> np.ndarray:
    """Signed root of the soft-L1 loss, so that its square is what least squares sums."""
    return np.sign(ratio) * np.sqrt(2 * (np.sqrt(1 + ratio**2) - 1))


def _least_squares(
    residuals: Callable[[np.ndarray], np.ndarray],
    jacobian: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    rounds: int,
) -> np.ndarray:
    """Levenberg-Marquardt on the normal equations (Marquardt 1963)."""
    damping, here = 1e-2, residuals(x)
    cost = here @ here
    for _ in range(rounds):
        slope = jacobian(x)
        normal, downhill = slope.T @ slope, slope.T @ here
        before = cost
        for _ in range(8):
            system = normal + np.diag(damping * np.diag(normal) + 1e-9)
            trial = x - np.clip(np.linalg.solve(system, downhill), -1.0, 1.0)
            there = residuals(trial)
            if np.isfinite(there).all() and there @ there < cost:
                x, here, cost, damping = trial, there, there @ there, damping / 4
                break
            damping *= 4
        if before - cost < 2e-4 * before:
            break
    return x


def fit(
    data: Family, times: Times, table: list[Coefficient], start: Fit | None = None, rounds: int = 40
) -> Fit:
    """Least squares over the logarithms of the free coefficients."""
    kinds, codes = np.unique(data.scope.astype(str), return_inverse=True)
    free = [c for c in table if c.prior != 0]
    column, count = {}, 0
    for c in free:
        column[c.name] = count
        count += 1 + (len(kinds) if c.spread else 0)
    origin = np.zeros(count)
    for c in free:
        at = column[c.name]
        origin[at] = start.universal[c.name] if start else np.log(c.start)
        if c.spread and start:
            own = start.deviation.get(c.name, {})
            origin[at + 1 : at + 1 + len(kinds)] = [own.get(kind, 0.0) for kind in kinds]
    fixed = {c.name: np.full(len(codes), c.start) for c in table if c.prior == 0}
    observed, root = np.log(data.seconds), np.sqrt(table_weights(data))
    scale = 1.0 / np.sqrt(len(observed)) * 60.0 * np.sqrt(max(len(np.unique(data.table)), 1) / 12)

    def fidelity(x: np.ndarray) -> np.ndarray:
        values = dict(fixed)
        for c in free:
            at = column[c.name]
            own = x[at] + (x[at + 1 + codes] if c.spread else 0.0)
            values[c.name] = np.exp(np.broadcast_to(own, codes.shape))
        return _root((np.log(times(data, values)) - observed) / SOFTNESS) * SOFTNESS * root * scale

    anchors = np.zeros(count)  # log deviations are drawn to these, in units of `reach`
    reach = np.full(count, np.inf)
    for c in free:
        at = column[c.name]
        if c.prior:
            anchors[at], reach[at] = np.log(c.start), c.prior
        if c.spread:
            reach[at + 1 : at + 1 + len(kinds)] = c.spread
    held = np.isfinite(reach)

    def pull(x: np.ndarray) -> np.ndarray:
        return _root(((x - anchors) / reach)[held])

    def pull_slope(x: np.ndarray) -> np.ndarray:
        step = 1e-4
        return np.diag((pull(x + step) - pull(x)) / step)

    masks = [codes == i for i in range(len(kinds))]

    def jacobian(x: np.ndarray) -> np.ndarray:
        base = fidelity(x)
        out = np.zeros((len(base), count))
        for c in free:  # a scope's rows see only that scope's deviation: one step serves all
            at = column[c.name]
            moved = x.copy()
            moved[at] += 1e-4
            out[:, at] = (fidelity(moved) - base) / 1e-4
            if c.spread:
                for i, mask in enumerate(masks):
                    out[mask, at + 1 + i] = out[mask, at]
        slopes = np.zeros((int(held.sum()), count))
        slopes[:, held] = pull_slope(x)
        return np.concatenate([out, slopes])

    def residuals(x: np.ndarray) -> np.ndarray:
        return np.concatenate([fidelity(x), pull(x)])

    found = _least_squares(residuals, jacobian, origin, rounds)
    universal = {c.name: float(np.log(c.start)) for c in table if c.prior == 0}
    deviation = {}
    for c in free:
        at = column[c.name]
        universal[c.name] = float(found[at])
        if c.spread:
            deviation[c.name] = {k: float(found[at + 1 + i]) for i, k in enumerate(kinds)}
    return Fit({c.name: universal[c.name] for c in table}, deviation)


def relative(data: Family, times: Times, found: Fit) -> np.ndarray:
    """Predicted over measured, less one, of every row."""
    return times(data, found.values(data.scope)) / data.seconds - 1


@dataclass(frozen=True)
class Judgement:
    """Errors of every row: with all GPUs in the fit, and with the row's own left out."""

    fit: Fit
    inside: np.ndarray
    outside: np.ndarray


def judge(
    data: Family, times: Times, table: list[Coefficient], per_table: int, rounds: int = 40
) -> Judgement:
    """Fit on all GPUs, then once without each of them, and predict all rows."""
    chosen = sample(data, per_table)
    found = fit(chosen, times, table, rounds=rounds)
    outside = np.full(len(data.seconds), np.nan)
    for gpu in np.unique(data.gpu.astype(str)):
        rest = chosen.take(chosen.gpu != gpu)
        if not len(rest.seconds):
            continue
        partial = fit(rest, times, table, rounds=rounds)  # from the start, not from the full fit
        own = data.gpu == gpu
        outside[own] = relative(data.take(own), times, partial)
    return Judgement(found, relative(data, times, found), outside)


def mape(errors: np.ndarray, table: np.ndarray | None = None) -> float:
    """Mean absolute error in percent; with `table`, the mean over tables of their means."""
    good = np.isfinite(errors)
    if not good.any():
        return float("nan")
    if table is None:
        return float(100 * np.abs(errors[good]).mean())
    _, codes = np.unique(table[good].astype(str), return_inverse=True)
    sums = np.bincount(codes, np.abs(errors[good])) / np.bincount(codes)
    return float(100 * sums.mean())
