"""Chi-square tests of what was seen against a law, or against what was seen elsewhere."""

import numpy as np
from scipy.stats import chi2


def chi_square_p(counts: np.ndarray, law: np.ndarray) -> float:
    """p-value of the test that counts are drawn from a law."""
    counts, expected = counts.ravel(), law.ravel() * counts.sum()
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    used = expected > 0
    assert not counts[~used].any(), "what has no probability was seen"
    return float(chi2.sf(((counts - expected)[used] ** 2 / expected[used]).sum(), used.sum() - 1))


def two_sample_p(left: np.ndarray, right: np.ndarray) -> float:
    """p-value of the chi-square test that two samples of cells have one distribution."""
    names, index = np.unique(np.concatenate([left, right]), return_inverse=True)
    a = np.bincount(index[: len(left)], minlength=len(names)).astype(float)
    b = np.bincount(index[len(left) :], minlength=len(names)).astype(float)
    rare = a + b < 20
    a, b = np.append(a[~rare], a[rare].sum()), np.append(b[~rare], b[rare].sum())
    used = a + b > 0
    statistic = ((a - b)[used] ** 2 / (a + b)[used]).sum()
    return float(chi2.sf(statistic, used.sum() - 1))
