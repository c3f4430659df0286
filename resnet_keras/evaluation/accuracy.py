"""Errors of a trained network on a split."""

from __future__ import annotations

import numpy as np

BATCH = 500


def logits(network, images: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
    """Logits of pictures, in inference mode.

    Args:
        network: A network that takes raw pixels.
        images: uint8 [n, h, w, c].
        batch_size: Pictures a call.

    Returns:
        float32 [n, classes].
    """
    return network.predict(images, batch_size=batch_size, verbose=0)


def top_error(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Top-k error in percent: how often the true class is not among the k highest scores.

    Args:
        scores: [n, classes], logits or probabilities.
        labels: Whole numbers [n].
        k: 1 or 5 in the paper.
    """
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return float(100.0 * np.mean(~(best == labels[:, None]).any(axis=1)))


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy (nats) of logits [n, classes]."""
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return float(np.mean(log_sums - shifted[np.arange(len(labels)), labels]))
