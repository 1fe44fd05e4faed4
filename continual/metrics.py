"""How much was learned and how much was kept: the field's measures of a run over tasks.

Everything starts from two tables of counts: `correct[i, j]`, the test images of task j that the network classifies
correctly after stage i (over all classes seen so far, without being told the task), and `images[j]`, how many there
are. Stages and tasks count from 0; entries above the diagonal (j > i) are never used.
"""

import numpy as np

Array = np.ndarray

DEFINITIONS = {
    "matrix": "a[i][j]: test accuracy on task j after stage i, among all classes seen so far, task not given",
    "average": "after each stage i: mean of a[i][j] over the tasks j <= i, every task alike",
    "pooled": "after each stage i: share of correct answers over all test images of the tasks j <= i",
    "average_incremental": "mean of `average` over all stages (Rebuffi et al. 2017)",
    "forgetting": "mean over the tasks j before the last of: best a[i][j] before the last stage, minus a[last][j] "
    "(Chaudhry et al. 2018); lower is better",
    "backward_transfer": "mean over the tasks j before the last of a[last][j] - a[j][j] (Lopez-Paz & Ranzato 2017); "
    "higher is better, negative is forgetting",
}


def accuracy_matrix(correct: Array, images: Array) -> Array:
    """a[i, j] = correct[i, j] / images[j] for j ≤ i, NaN above the diagonal. T×T."""
    matrix = correct / images
    matrix[np.triu_indices(len(images), 1)] = np.nan
    return matrix


def average(matrix: Array) -> Array:
    """A_i = 1/(i+1) Σ_{j≤i} a_ij, for every stage."""
    return np.array([row[: i + 1].mean() for i, row in enumerate(matrix)])


def pooled(correct: Array, images: Array) -> Array:
    """P_i = Σ_{j≤i} correct_ij / Σ_{j≤i} images_j, for every stage: big test sets count more."""
    return np.array([correct[i, : i + 1].sum() / images[: i + 1].sum() for i in range(len(images))])


def forgetting(matrix: Array) -> float:
    """F = 1/(T−1) Σ_{j<T−1} (max_{j≤i<T−1} a_ij − a_{T−1,j})."""
    last = len(matrix) - 1
    return float(np.mean([matrix[j:last, j].max() - matrix[last, j] for j in range(last)]))


def backward_transfer(matrix: Array) -> float:
    """B = 1/(T−1) Σ_{j<T−1} (a_{T−1,j} − a_jj)."""
    last = len(matrix) - 1
    return float(np.mean([matrix[last, j] - matrix[j, j] for j in range(last)]))


def summarise(correct: Array, images: Array) -> dict[str, object]:
    """All of `DEFINITIONS` for a finished run; accuracies are shares (0..1), None above the diagonal."""
    matrix = accuracy_matrix(correct, images)
    averages = average(matrix)
    return {
        "matrix": [[None if np.isnan(value) else float(value) for value in row] for row in matrix],
        "average": averages.tolist(),
        "pooled": pooled(correct, images).tolist(),
        "average_incremental": float(averages.mean()),
        "forgetting": forgetting(matrix),
        "backward_transfer": backward_transfer(matrix),
    }
