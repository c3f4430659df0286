"""The same step in PyTorch: channels last, eager or compiled, autocast for bfloat16, images on the device."""

import contextlib
import time

import torch
from torch.nn import functional

from benchmarks.contenders import EXAMPLES, noise
from benchmarks.independent import network


class Steps:
    """See `benchmarks.contenders`."""

    def __init__(self, name: str, precision: str, batch_size: int, compiled: bool):
        """Build the network; `compiled`: through `torch.compile`."""
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.set_float32_matmul_precision("high")  # lets a GPU use its faster float32; nothing on a CPU
        torch.backends.cudnn.benchmark = True
        module = network(int(name.removeprefix("resnet"))).to(self.device)
        mode = "reduce-overhead" if self.device == "cuda" else "default"
        self.network = torch.compile(module, mode=mode) if compiled else module
        weights = [{"params": [p for p in module.parameters() if (p.ndim > 1) == decays]} for decays in (True, False)]
        weights[1]["weight_decay"] = 0.0
        self.optimizer = torch.optim.SGD(weights, 0.1, momentum=0.9, weight_decay=1e-4, fused=True)
        self.precision, self.batch_size, self.place = precision, batch_size, EXAMPLES
        images, labels = noise()
        self.images = functional.pad(torch.from_numpy(images), (0, 0, 4, 4, 4, 4)).to(self.device)
        self.labels = torch.from_numpy(labels).long().to(self.device)
        self.span = torch.arange(32, device=self.device)
        self.wrong = torch.zeros((), dtype=torch.long, device=self.device)

    def _batch(self):
        """Cropped and flipped images in [-1, 1], channels last, and their labels."""
        if self.place + self.batch_size > EXAMPLES:
            self.order, self.place = torch.randperm(EXAMPLES, device=self.device), 0
        index = self.order[self.place : self.place + self.batch_size]
        self.place += self.batch_size
        top, left = torch.randint(0, 9, (2, len(index), 1), device=self.device)
        flip = torch.rand(len(index), 1, device=self.device) < 0.5
        rows, columns = top + self.span, left + torch.where(flip, 31 - self.span, self.span)
        crops = self.images[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return (crops.float() / 128.0 - 1.0).permute(0, 3, 1, 2), self.labels[index]

    def _step(self):
        images, labels = self._batch()
        bfloat16 = self.precision == "bfloat16"
        with torch.autocast(self.device, torch.bfloat16) if bfloat16 else contextlib.nullcontext():
            logits = self.network(images)
        loss = functional.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.wrong += (logits.argmax(1) != labels).sum()
        return loss.detach()

    def take(self, count: int) -> float:
        """Seconds that `count` steps take."""
        start = time.perf_counter()
        for _ in range(count):
            loss = self._step()
        float(loss), int(self.wrong)
        return time.perf_counter() - start
