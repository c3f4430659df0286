"""Errors of a trained network on a split."""

from __future__ import annotations

from collections.abc import Iterable

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


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities of logits [..., classes], float64, so that no two of a picture's differ less than its logits."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


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


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How often each class (rows) was taken for each (columns): whole numbers [classes, classes]."""
    counts = np.zeros((probabilities.shape[1],) * 2, int)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


class Tally:
    """Errors of a stream of pictures, kept as counts: its memory does not grow with the pictures."""

    def __init__(self):
        """Nothing counted yet."""
        self.pictures, self.wrong, self.entropy = 0, {}, 0.0

    def add(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Count some pictures: probabilities [b, classes] and labels [b]."""
        labels = np.asarray(labels)
        self.pictures += len(labels)
        for k in (1, 5):
            if k < probabilities.shape[1]:
                wrong = round(top_error(probabilities, labels, k) * len(labels) / 100.0)
                self.wrong[k] = self.wrong.get(k, 0) + wrong
        least = np.finfo(np.float64).tiny  # a probability that has become 0 counts as this, not as infinity
        self.entropy -= float(np.log(np.maximum(probabilities[np.arange(len(labels)), labels], least)).sum())

    def error(self, k: int = 1) -> float | None:
        """Top-k error in percent; None where there are no more than k classes."""
        return 100.0 * self.wrong[k] / self.pictures if k in self.wrong else None

    @property
    def cross_entropy(self) -> float:
        """Mean cross-entropy in nats, of the averaged probabilities."""
        return self.entropy / self.pictures

    def text(self) -> str:
        """The numbers for people: "top-1 error 24.70 %, top-5 error 7.80 %, cross-entropy 0.9800"."""
        top5 = self.error(5)
        words = [f"error {self.error(1):.2f} %"] if top5 is None else []
        words += [] if top5 is None else [f"top-1 error {self.error(1):.2f} %", f"top-5 error {top5:.2f} %"]
        return ", ".join([*words, f"cross-entropy {self.cross_entropy:.4f}"])


def tally(batches: Iterable[tuple[np.ndarray, np.ndarray]], progress=None) -> Tally:
    """Count a stream of (probabilities [b, classes], labels [b]); `progress` is called with the count after each."""
    counted = Tally()
    for probabilities, labels in batches:
        counted.add(probabilities, labels)
        if progress:
            progress(counted)
    return counted
