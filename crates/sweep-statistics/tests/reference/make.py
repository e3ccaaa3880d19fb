"""Writes reference.json: values of SciPy that the tests of this crate compare with.

Needs Python 3.11 or later with SciPy 1.17.1 and NumPy 2.4. From this folder: python3 make.py

Every case has its inputs beside its results, so a test reads both from the file.
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy import stats


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
    quantile = [{"p": p, "x": stats.norm.ppf(p)} for p in [1e-300, 1e-20, 1e-5, 0.025, 0.3, 0.499999, 0.6, 0.975, 0.9999]]
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


def main():
    reference = {
        "scipy": scipy.__version__,
        "student_t": student_t(),
        "normal": normal(),
        "chi_square": chi_square(),
        "noncentral_t": noncentral_t(),
    }
    text = json.dumps(plain(reference), indent=1, allow_nan=False) + "\n"
    Path(__file__).with_name("reference.json").write_text(text)


if __name__ == "__main__":
    main()
