"""An independent ResNet in PyTorch, written from the paper alone, trained on the same images to compare the curves.

It shares no code with `resnet_keras` and needs torch, numpy and pillow only. Where the paper is silent it makes its own
choices: the mean is subtracted before the image is padded; option A puts half of its zero channels on either side.

    python benchmarks/independent.py IMAGES --checkpoints FOLDER    # IMAGES/{train,test}/CLASS/*.jpg
"""

import argparse
import csv
import itertools
import re
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, pad, relu

RESULT = Path(__file__).parent / "results" / "independent.csv"
COLUMNS = ("network", "seed", "iteration", "learning_rate", "train_error", "test_error", "device", "threads", "seconds")
BATCH, RATE, MOMENTUM, DECAY = 128, 0.1, 0.9, 1e-4
ITERATIONS = 1000  # the first half of 2,000, before the rate drops
WINDOW, TEST_EVERY, SAVE_EVERY = 50, 200, 100


def network(depth: int):
    """A residual network of 6n + 2 layers (Sec. 4.2): float [b, 3, 32, 32] -> logits [b, 10]."""

    class Block(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.grow, self.stride = outputs - inputs, 1 if inputs == outputs else 2
            self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=False)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

        def forward(self, x):
            y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
            shortcut = pad(x[..., :: self.stride, :: self.stride], (0, 0, 0, 0, self.grow // 2, self.grow // 2))
            return relu(shortcut + y)

    widths = [16, *(width for width in (16, 32, 64) for _ in range((depth - 2) // 6))]
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [Block(*pair) for pair in itertools.pairwise(widths)]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for weight in net.parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight)
    nn.init.zeros_(net[-1].bias)
    return net.to(memory_format=torch.channels_last)


def read_images(folder: Path):
    """Images uint8 [n, 3, 32, 32] and labels int64 [n] of FOLDER/CLASS/*.jpg."""
    from PIL import Image

    files = [(path, label) for label, kind in enumerate(sorted(folder.iterdir())) for path in sorted(kind.iterdir())]
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in files])
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.tensor([label for _, label in files])


def batch_places(examples: int, seed: int, iteration: int):
    """Places of a batch's images: a new order every epoch, whose incomplete last batch is left out."""
    epoch, number = divmod(iteration, examples // BATCH)
    order = torch.randperm(examples, generator=torch.Generator().manual_seed(seed * 10**6 + 500_000 + epoch))
    return order[number * BATCH : (number + 1) * BATCH]


def augmented(images, seed: int, iteration: int):
    """Images padded by 4 zeros, each cropped to 32x32 and flipped on its own: a function of (seed, iteration)."""
    random = torch.Generator().manual_seed(seed * 10**6 + iteration)
    padded = pad(images, (4, 4, 4, 4))
    crops = torch.empty(len(images), 3, 32, 32).contiguous(memory_format=torch.channels_last)
    for place, image in enumerate(padded):
        top, left, flip = (int(torch.randint(high, (), generator=random)) for high in (9, 9, 2))
        crop = image[:, top : top + 32, left : left + 32]
        crops[place] = crop.flip(-1) if flip else crop
    return crops


def train(depth: int, seed: int, examples, tests, checkpoint: Path):
    """Yield the rows of a run's history; a stopped run goes on from its checkpoint."""
    device = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())[1]
    images, labels = examples
    mean = images.float().mean(0)
    torch.manual_seed(seed)
    net = network(depth)
    weights = list(net.parameters())
    state = {"iteration": 0, "seconds": 0.0, "velocities": [torch.zeros_like(weight) for weight in weights]}
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["network"])
    start, wrong = time.perf_counter() - state["seconds"], 0
    for iteration in range(state["iteration"], ITERATIONS):
        places = batch_places(len(images), seed, iteration)
        logits = net.train()(augmented(images[places] - mean, seed, iteration))
        gradients = torch.autograd.grad(cross_entropy(logits, labels[places]), weights)
        with torch.no_grad():  # the decay is part of the gradient: of kernels, not of BN and biases
            for weight, gradient, velocity in zip(weights, gradients, state["velocities"], strict=True):
                decay = DECAY * weight if weight.ndim > 1 else 0.0
                weight += velocity.mul_(MOMENTUM).sub_(RATE * (gradient + decay))
        wrong += int((logits.argmax(1) != labels[places]).sum())
        done = iteration + 1
        if done % WINDOW == 0:
            error = test_error(net, tests, mean) if done % TEST_EVERY == 0 else ""
            where = (device, torch.get_num_threads(), round(time.perf_counter() - start))
            row = (f"resnet{depth}", seed, done, RATE, round(100 * wrong / (WINDOW * BATCH), 3), error, *where)
            yield dict(zip(COLUMNS, row, strict=True))
            wrong = 0
        if done % SAVE_EVERY == 0:
            state |= {"iteration": done, "seconds": time.perf_counter() - start, "network": net.state_dict()}
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)


def test_error(net, tests, mean) -> float:
    """Test error in percent, with BN's moving averages."""
    net.eval()
    with torch.inference_mode():
        batches = zip(*(part.split(500) for part in tests), strict=True)
        wrong = sum(int((net(images - mean).argmax(1) != labels).sum()) for images, labels in batches)
    return round(100 * wrong / len(tests[1]), 2)


def saved_rows() -> list[dict]:
    """The rows of the CSV."""
    return list(csv.DictReader(RESULT.open())) if RESULT.exists() else []


def write_rows(rows: list[dict]) -> None:
    """Merge rows into the CSV; of each network, seed and iteration the newest row stays."""
    merged = {(row["network"], int(row["seed"]), int(row["iteration"])): row for row in [*saved_rows(), *rows]}
    with RESULT.with_suffix(".new").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(merged[key] for key in sorted(merged))
    RESULT.with_suffix(".new").replace(RESULT)


def main() -> None:
    """Train what is missing, seed by seed, and merge it into `results/independent.csv`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with train/CLASS/*.jpg and test/CLASS/*.jpg")
    parser.add_argument("--checkpoints", type=Path, default=Path("."), help="folder of the checkpoints")
    parser.add_argument("--seeds", type=int, default=3, help="how many of each network")
    options = parser.parse_args()
    options.checkpoints.mkdir(parents=True, exist_ok=True)
    data = [read_images(options.images / part) for part in ("train", "test")]
    done = {(row["network"], int(row["seed"])) for row in saved_rows() if int(row["iteration"]) == ITERATIONS}
    for seed, depth in itertools.product(range(options.seeds), (20, 56)):
        if (f"resnet{depth}", seed) in done:
            continue
        for row in train(depth, seed, *data, options.checkpoints / f"resnet{depth}-s{seed}.pt"):
            write_rows([row])
            print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
