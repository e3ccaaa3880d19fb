"""Writes reference.json: values of SciPy that the tests of this crate compare with.

Needs Python 3.11 or later with SciPy 1.17.1 and NumPy 2.4. From this folder: python3 make.py

Every case has its inputs beside its results, so a test reads both from the file.
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy import optimize, special, stats


def plain(value):
    """Turns numbers of NumPy into those of Python."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    return value


def student_t():
    cdf = [
        {"t": t, "df": df, "cdf": stats.t.cdf(t, df), "two_sided": 2 * stats.t.sf(abs(t), df)}
        for df in [1, 2, 2.5, 4, 9, 29, 1000, 100000]
        for t in [-1e6, -30, -2.5, -1e-3, -1e-7, 0, 1e-5, 0.3, 1, 12]
    ]
    quantile = [
        {"p": p, "df": df, "t": stats.t.ppf(p, df)}
        for df in [1, 2, 2.5, 4, 9, 29, 1000, 100000]
        for p in [1e-12, 1e-5, 0.025, 0.3, 0.4999, 0.6, 0.975, 0.999]
    ]
    return {"cdf": cdf, "quantile": quantile}


def normal():
    cdf = [{"x": x, "cdf": stats.norm.cdf(x)} for x in [-37, -20, -8, -3, -1, -0.1, -1e-9, 0, 1e-3, 0.7, 1.96, 5, 9]]
    probabilities = [1e-300, 1e-20, 1e-5, 0.025, 0.3, 0.499999, 0.6, 0.975, 0.9999]
    quantile = [{"p": p, "x": stats.norm.ppf(p)} for p in probabilities]
    return {"cdf": cdf, "quantile": quantile}


def chi_square():
    cdf = [
        {"x": x, "df": df, "cdf": stats.chi2.cdf(x, df)}
        for df in [1, 2, 3, 4.5, 9, 100, 5000]
        for x in [1e-8, 0.1, 1, 3, 12, 90, 4900, 5200]
    ]
    quantile = [
        {"p": p, "df": df, "x": stats.chi2.ppf(p, df)}
        for df in [1, 2, 3, 4.5, 9, 100, 5000]
        for p in [1e-10, 0.01, 0.2, 0.5, 0.8, 0.975]
    ]
    return {"cdf": cdf, "quantile": quantile}


def noncentral_t():
    return [
        {"t": t, "df": df, "shift": shift, "below": stats.nct.cdf(t, df, shift), "above": stats.nct.sf(t, df, shift)}
        for df, t, shift in [
            (1, 12.706, 0.5), (1, 12.706, 9), (1, 12.706, 30), (1, 127.3, 200), (2, 4.3, 2.5), (2, 4.3, -2.5),
            (2, -4.3, 2.5), (2, 25, 30), (3, 0, 1), (3, 1e-3, 2), (4, 2.776, 3.5), (9, 2.26, 12), (9, 40, 35),
            (29, 2.045, 2.9), (29, 2.045, -2.9), (99, 1.98, 2.8), (99, 30, 31), (999, 2, 40), (9999, 1.96, 2.8),
            (9999, 200, 201), (4, 2.776, 0),
        ]
    ]


class SplitMix64(np.random.RandomState):
    """The generator of this crate, in the form that SciPy's bootstrap asks for. So both draw the same resamples."""

    def __init__(self, seed):
        super().__init__(0)
        self.place = seed

    def next(self):
        self.place = (self.place + 0x9E3779B97F4A7C15) % 2**64
        z = self.place
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    def randint(self, low, high=None, size=None, dtype=int):
        draws = [low + (self.next() * (high - low) >> 64) for _ in range(int(np.prod(size)))]
        return np.array(draws, dtype=dtype).reshape(size)


def bootstrap(values, statistic, method, resamples, seed, confidence=0.95):
    found = stats.bootstrap(
        (np.array(values),), statistic, vectorized=True, n_resamples=resamples, confidence_level=confidence,
        method=method, random_state=SplitMix64(seed),
    )
    return {
        "values": values, "resamples": resamples, "seed": seed, "confidence": confidence,
        "low": found.confidence_interval.low, "high": found.confidence_interval.high,
    }


def mean(x, axis):
    return np.mean(x, axis=axis)


def median(x, axis):
    return np.median(x, axis=axis)


# Multiples of 1/256: their sums are exact, so ties are the same here and there.
SKEWED = [round(256 * float(value)) / 256 for value in np.random.default_rng(7).exponential(1, 40)]
SHIFTED = [value + 4096 for value in SKEWED]


def bca():
    return [
        bootstrap(SKEWED[:8], mean, "BCa", 999, 1), bootstrap(SKEWED[:12], mean, "BCa", 2000, 20210505),
        bootstrap(SKEWED, mean, "BCa", 2000, 3, 0.9), bootstrap(SHIFTED[:20], mean, "BCa", 1000, 2**63 + 5),
        bootstrap([1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 1.0, 0.0, 1.0, 0.0], mean, "BCa", 1000, 9),
    ]


def percentile():
    return [bootstrap(SKEWED[:9], median, "percentile", 1000, 4), bootstrap(SKEWED, median, "percentile", 500, 5, 0.99)]


def accuracy_difference():
    rng = np.random.default_rng(11)
    first, second = rng.random(200) < 0.8, rng.random(200) < 0.72
    gains = [float(a) - float(b) for a, b in zip(first, second)]
    found = bootstrap(gains, mean, "BCa", 1000, 6)
    return {"first": first, "second": second, "difference": np.mean(gains), **found}


def t_interval(values, confidence):
    return stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))


def hedges(df):
    return np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2) - 0.5 * np.log(df / 2))


def comparison():
    rng = np.random.default_rng(3)
    cases = []
    for n, m, shift in [(3, 3, 0.01), (5, 5, 0.002), (8, 8, -0.004), (12, 20, 0.003)]:
        base = rng.normal(0.9, 0.004, m)
        row = base[:n] + rng.normal(shift, 0.003, n)
        pairs = base[:n]
        differences = row - pairs
        welch = stats.ttest_ind(row, base, equal_var=False)
        welch_interval = welch.confidence_interval(0.95)
        d_z = differences.mean() / differences.std(ddof=1)
        d_av = differences.mean() / np.sqrt((row.var(ddof=1) + pairs.var(ddof=1)) / 2)
        pooled = ((n - 1) * row.var(ddof=1) + (m - 1) * base.var(ddof=1)) / (n + m - 2)
        d_s = (row.mean() - base.mean()) / np.sqrt(pooled)
        cases.append({
            "row": row, "baseline": base, "p": stats.ttest_rel(row, pairs).pvalue,
            "interval": t_interval(differences, 1 - 0.05 / 4),
            "welch": {
                "t": welch.statistic, "df": welch.df, "p": welch.pvalue,
                "low": welch_interval.low, "high": welch_interval.high,
            },
            "d_z": d_z, "g_z": d_z * hedges(n - 1), "d_av": d_av, "g_av": d_av * hedges(n - 1),
            "d_s": d_s, "g_s": d_s * hedges(n + m - 2),
            "superiority": stats.mannwhitneyu(row, base).statistic / (n * m),
        })
    return cases


def mcnemar():
    return [
        {"first": b, "second": c, "p": stats.binomtest(b, b + c).pvalue}
        for b, c in [(0, 1), (0, 9), (3, 12), (7, 7), (40, 61), (480, 520), (300, 800), (5000, 5300), (100, 900)]
    ]


def power(n, effect, comparisons):
    critical = stats.t.ppf(1 - 0.025 / comparisons, n - 1)
    shift = effect * np.sqrt(n)
    # SciPy gives NaN for some tails on the other side that are below 1e-20.
    return stats.nct.sf(critical, n - 1, shift) + np.nan_to_num(stats.nct.cdf(-critical, n - 1, shift))


def planning():
    powers = [
        {"pairs": n, "effect": effect, "comparisons": m, "power": power(n, effect, m)}
        for n, effect, m in [(2, 3, 1), (3, 1, 1), (3, 5, 8), (5, 1.2, 3), (10, 0.3, 1), (20, -0.8, 4), (200, 0.2, 1)]
    ]
    needed = []
    for effect, m, goal in [(2, 1, 0.8), (1, 1, 0.8), (1, 8, 0.9), (0.5, 3, 0.8), (0.2, 1, 0.5), (5, 8, 0.8)]:
        n = 2
        while power(n, effect, m) < goal:
            n += 1
        needed.append({"effect": effect, "comparisons": m, "power": goal, "pairs": n})
    least = [
        {
            "pairs": n, "comparisons": m, "power": goal,
            "effect": optimize.brentq(lambda effect: power(n, effect, m) - goal, 1e-3, 60, xtol=1e-13, rtol=1e-13),
        }
        for n, m, goal in [(2, 1, 0.8), (3, 1, 0.8), (3, 8, 0.8), (5, 3, 0.5), (10, 1, 0.9), (50, 8, 0.8)]
    ]
    pilots = [
        {"values": SKEWED[:n], "confidence": confidence,
         "sd_upper": np.std(SKEWED[:n], ddof=1) * np.sqrt((n - 1) / stats.chi2.ppf(1 - confidence, n - 1))}
        for n, confidence in [(2, 0.8), (3, 0.8), (5, 0.95), (30, 0.9)]
    ]
    return {"power": powers, "needed": needed, "least": least, "pilots": pilots}


def equivalence():
    rng = np.random.default_rng(5)
    cases = []
    for n, shift, margin in [(3, 0.0, 0.01), (5, 0.004, 0.005), (8, -0.002, 0.004), (10, 0.02, 0.01)]:
        base = rng.normal(0.9, 0.004, n)
        row = base + rng.normal(shift, 0.002, n)

        def tost(x, bound):
            return max(
                stats.ttest_1samp(x, -bound, alternative="greater").pvalue,
                stats.ttest_1samp(x, bound, alternative="less").pvalue,
            )

        logs = np.log(row / base)
        cases.append({
            "row": row, "baseline": base, "margin": margin, "p": tost(row - base, margin),
            "interval": t_interval(row - base, 0.9), "ratio_margin": 1 + margin,
            "ratio_p": tost(logs, np.log1p(margin)),
            "ratio_interval": np.exp(t_interval(logs, 0.9)), "ratio": np.exp(logs.mean()),
        })
    return cases


def factorial():
    """Effects of a 3×2×2 grid, as products of contrasts of each axis."""
    points, seeds = [3, 2, 2], 5
    values = np.random.default_rng(13).normal(0.9, 0.01, (*points, seeds))
    values[2] += 0.02
    values[1, 1] += 0.03

    def contrast(axis, point):
        weights = np.zeros(points[axis])
        weights[0] -= 1
        weights[point] += 1
        return weights

    def effect(chosen):
        weights = np.ones(())
        for axis, count in enumerate(points):
            along = contrast(axis, chosen[axis]) if axis in chosen else np.full(count, 1 / count)
            weights = np.multiply.outer(weights, along)
        return np.tensordot(weights, values, axes=3)

    choices = [(axis, point) for axis, count in enumerate(points) for point in range(1, count)]
    pairs = [(first, second) for first in choices for second in choices if first[0] < second[0]]
    family = len(choices) + len(pairs)

    def described(numbers):
        return {
            "mean": numbers.mean(), "p": stats.ttest_1samp(numbers, 0).pvalue,
            "interval": t_interval(numbers, 1 - 0.05 / family),
        }

    cells = [
        {"points": list(place), "values": values[place]} for place in np.ndindex(*points)
    ]
    return {
        "points": points, "cells": cells, "comparisons": family,
        "main": [{"axis": a, "point": i, **described(effect({a: i}))} for a, i in choices],
        "interactions": [
            {"axes": [a, b], "points": [i, j], **described(effect({a: i, b: j}))} for (a, i), (b, j) in pairs
        ],
        "marginal": [
            {"axis": axis, "point": point, "mean": np.take(values, point, axis).mean()}
            for axis, count in enumerate(points) for point in range(count)
        ],
    }


def rounding_noise():
    """Variance components from the mean squares of the two-way layout of seeds and arithmetics."""
    rng = np.random.default_rng(17)
    cases = []
    for n, rounding, seeds in [(3, 0.002, 0.004), (6, 0.003, 0.003), (12, 0.004, 0.0005)]:
        table = rng.normal(0.9, seeds, (n, 1)) + rng.normal(0, rounding, (n, 2)) + np.array([0.001, 0])
        by_seed, by_column, all_of_it = table.mean(1, keepdims=True), table.mean(0), table.mean()
        of_seeds = 2 * ((by_seed - all_of_it) ** 2).sum() / (n - 1)
        of_rest = ((table - by_seed - by_column + all_of_it) ** 2).sum() / (n - 1)
        ratio, far = of_seeds / of_rest, stats.f.ppf(0.975, n - 1, n - 1)
        icc = [max((x - 1) / (x + 1), 0) for x in (ratio, ratio / far, ratio * far)]
        sd = np.sqrt(of_rest)
        cases.append({
            "first": table[:, 0], "second": table[:, 1], "rounding_sd": sd,
            "rounding_interval": [sd * np.sqrt((n - 1) / stats.chi2.ppf(p, n - 1)) for p in (0.975, 0.025)],
            "seed_sd": np.sqrt(max(of_seeds - of_rest, 0) / 2),
            "share": 1 - icc[0], "share_interval": [1 - icc[2], 1 - icc[1]],
        })
    return cases


def main():
    reference = {
        "scipy": scipy.__version__,
        "student_t": student_t(),
        "normal": normal(),
        "chi_square": chi_square(),
        "noncentral_t": noncentral_t(),
        "bca": bca(),
        "percentile": percentile(),
        "accuracy_difference": accuracy_difference(),
        "comparison": comparison(),
        "mcnemar": mcnemar(),
        "planning": planning(),
        "equivalence": equivalence(),
        "factorial": factorial(),
        "rounding_noise": rounding_noise(),
    }
    text = json.dumps(plain(reference), allow_nan=False)
    # A line for each case keeps differences readable and the file short.
    text = text.replace("}, {", "},\n{").replace("], \"", "],\n\"")
    Path(__file__).with_name("reference.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
