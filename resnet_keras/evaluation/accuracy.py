"""The error of a trained network on the test images of a data set, counted batch by batch."""

from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.progress import Progress

from resnet_keras import data as datasets
from resnet_keras.errors import UserError
from resnet_keras.models.catalogue import architecture

TOPS = (1, 5)  # the paper's top-1 and top-5 error


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities of logits [..., classes], float64, so that no two of an image's differ less than its logits."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def top_error(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Top-k error in percent: how often the true class [n] is not among the k highest of scores [n, classes]."""
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return float(100.0 * np.mean(~(best == labels[:, None]).any(axis=1)))


@dataclass
class Tally:
    """Errors of a stream of images, kept as counts: its memory does not grow with the images."""

    images: int = 0
    wrong: dict[int, int] = field(default_factory=dict)  # k -> how many were wrong by their k highest scores
    entropy: float = 0.0  # sum of the images' cross-entropies in nats

    def add(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Count a batch: probabilities [b, classes] and labels [b]."""
        self.images += len(labels)
        for k in TOPS:
            if k < probabilities.shape[1]:
                self.wrong[k] = self.wrong.get(k, 0) + round(top_error(probabilities, labels, k) * len(labels) / 100)
        least = np.finfo(np.float64).tiny  # a probability that has become 0 counts as this, not as infinity
        self.entropy -= float(np.log(np.maximum(probabilities[np.arange(len(labels)), labels], least)).sum())

    def error(self, k: int = 1) -> float | None:
        """Top-k error in percent; None where there are no more than k classes."""
        return 100.0 * self.wrong[k] / self.images if k in self.wrong else None

    def __str__(self) -> str:
        """The numbers in a line: "top-1 error 24.70 %, top-5 error 7.80 %, cross-entropy 0.9800"."""
        errors = [f"top-{k} error {self.error(k):.2f} %" for k in self.wrong]
        return ", ".join([*errors, f"cross-entropy {self.entropy / self.images:.4f}"])


def evaluate(
    trained, data: str | None = None, data_dir=None, *, mode: str = "1", precise: int = 0, by_order: bool = False
) -> tuple[Tally, str]:
    """Test a network, by default on the data set that it was trained on; return the tally and the data set's title.

    For `mode` see `resnet_keras.evaluation.views`. `precise` batches of training images make new statistics of BN, in
    memory alone. `by_order` takes the classes of another data set by their order, whatever their names are. Where the
    standard error is a terminal, it shows how far the test is. Raises a UserError if these do not fit one another.
    """
    from resnet_keras.evaluation import views

    name = trained.network.name
    if mode != views.SINGLE and architecture(name).family == "cifar":
        raise UserError(f"{name} is tested on the original image (Sec. 4.2), views=1; {mode} is for ImageNet.")
    dataset, logits = _matched(trained, data, data_dir, by_order)
    if precise:
        views.recompute_statistics(trained.network, views.training_batches(dataset, trained.config, precise))
    split = dataset.test
    view = None if split.cropped == trained.cropped else trained.view  # the split's own view is the network's, or not
    tally, console = Tally(), Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("testing", total=len(split))
        for probabilities, labels in views.evaluated(trained.network, split, mode, view):
            tally.add(probabilities, logits[labels])
            bar.advance(task, len(labels))
    return tally, dataset.identity.title


def _matched(trained, data: str | None, data_dir, by_order: bool) -> tuple:
    """The data set to test on, and the number of the network's logit for each of its classes, matched by name."""
    name, own, config = trained.name, trained.classes, trained.config
    source = data or config.get("source") or config.get("data")  # older runs have kept the name alone
    if not source:
        raise UserError(f"{name} was not trained here: say with --data what to test it on.")
    try:
        dataset = datasets.load(source, data_dir, crop=trained.input_shape[0])
    except UserError as error:
        elsewhere = "say with --data where its images are, or what else to test on"
        raise error if data else UserError(f"the data of {name} cannot be read now: {elsewhere} ({error})") from None
    others, title, version = tuple(dataset.classes), dataset.identity.title, dataset.identity.version
    known = (config.get("data"), config.get("data_version")) == (dataset.identity.name, version)
    if not (data or known):
        versions = f"{config['data_title']}, version {config['data_version']}, and this is version {version}"
        raise UserError(f"{source} is not what {name} was trained on: {versions}; say with --data where that is.")
    if len(own) != len(others):
        raise UserError(f"{name} has {len(own)} classes, {title} has {len(others)}: test it on its own classes.")
    if None not in trained.network.arguments["input_shape"] and tuple(dataset.shape) != trained.input_shape:
        raise UserError(f"{name} takes images of {trained.input_shape}, those of {title} are {dataset.shape}.")
    if by_order or known:
        return dataset, np.arange(len(own))
    if sorted(own) == sorted(others):
        return dataset, np.array([own.index(each) for each in others])
    strange, missing = (", ".join(sorted(set(a) - set(b))[:3]) for a, b in ((others, own), (own, others)))
    problem = f"{title} has classes that {name} does not know ({strange}) and lacks others ({missing})"
    raise UserError(f"{problem}: name them alike, or add --classes-as-they-are to take both in their order.")
