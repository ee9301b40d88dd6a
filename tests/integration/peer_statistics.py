"""Tests two groups with nilearn and statsmodels; run by the interpreter of an environment that has them installed.

Usage: python peer_statistics.py FOLDER. The folder holds what the test wrote; ``returned.npz`` is what came back.
"""

import pathlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 5
PERMUTATIONS = 200


def shuffled(animals: int) -> Iterator[NDArray[Any]]:
    """The orders into which nilearn puts the animals with this seed, for one job."""
    seed = np.random.RandomState(SEED).randint(1, np.iinfo(np.int32).max - 1)
    random, order = np.random.RandomState(seed), np.arange(animals)
    for _ in range(PERMUTATIONS):
        order = order[random.permutation(animals)]
        yield order


def nilearn_results(
    values: NDArray[Any], in_a: NDArray[Any], covariates: Any, shape: tuple[int, ...], threshold_p: float
) -> dict[str, Any]:
    from nibabel import Nifti1Image
    from nilearn.maskers import NiftiMasker
    from nilearn.mass_univariate import permuted_ols

    masker = NiftiMasker(Nifti1Image(np.ones(shape, np.int8), np.eye(4)), dtype=np.float64).fit()
    found: dict[str, Any] = permuted_ols(
        in_a[:, np.newaxis].astype(float),
        values,
        confounding_vars=covariates,
        n_perm=PERMUTATIONS,
        random_state=SEED,
        masker=masker,
        tfce=True,
        threshold=threshold_p,
    )
    return found


def statsmodels_results(values: NDArray[Any], in_a: NDArray[Any], covariates: NDArray[Any]) -> dict[str, Any]:
    from statsmodels.api import OLS
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.weightstats import ttest_ind

    welch = ttest_ind(values[in_a], values[~in_a], usevar="unequal")
    design = np.column_stack([in_a, np.ones(len(in_a)), covariates])
    models = [OLS(y, design).fit() for y in values.T]
    return {
        "welch_t": welch[0],
        "welch_p": welch[1],
        "welch_fdr": multipletests(welch[1], method="fdr_bh")[1],
        "ols_t": [model.tvalues[0] for model in models],
        "ols_p": [model.pvalues[0] for model in models],
        "ols_difference": [model.params[0] for model in models],
    }


def main() -> None:
    # Notes of nilearn about future releases.
    warnings.simplefilter("ignore")
    folder = pathlib.Path(sys.argv[1])
    with np.load(folder / "asked.npz") as asked:
        values, in_a, covariates = asked["values"], asked["in_a"], asked["covariates"]
        shape, threshold_p = tuple(asked["shape"]), float(asked["threshold_p"])
    returned: dict[str, Any] = {"order": list(shuffled(len(in_a)))}
    for name, confounds in (("plain", None), ("adjusted", covariates)):
        found = nilearn_results(values, in_a, confounds, shape, threshold_p)
        returned |= {f"{name}_{key}": value for key, value in found.items()}
    returned |= statsmodels_results(values, in_a, covariates)
    np.savez(folder / "returned.npz", **returned)


main()
