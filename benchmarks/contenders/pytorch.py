"""The same step in PyTorch: channels last, eager or compiled, autocast for bfloat16, pictures on the device."""

from __future__ import annotations

import contextlib
import time

import torch
from torch import nn
from torch.nn import functional

from benchmarks.contenders import CLASSES, EXAMPLES, blocks, pictures


class Block(nn.Module):
    """Two 3x3 convolutions and the shortcut of option A."""

    def __init__(self, before: int, after: int, stride: int):
        """`before` and `after`: channels."""
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.more = stride, after - before

    def forward(self, x):
        """Float [b, c, h, w] in, the same or half the size out."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride > 1:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return functional.relu(x + y)


class Network(nn.Module):
    """A residual CIFAR network of 6n + 2 layers."""

    def __init__(self, per_stage: int):
        """`per_stage`: n."""
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        channels, body = 16, []
        for stage in range(3):
            for number in range(per_stage):
                body.append(Block(channels, 16 * 2**stage, 2 if stage and not number else 1))
                channels = 16 * 2**stage
        self.body, self.fc = nn.Sequential(*body), nn.Linear(channels, CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x):
        """Float [b, 3, 32, 32] -> logits [b, 10]."""
        x = self.body(functional.relu(self.bn(self.conv(x))))
        return self.fc(x.mean((2, 3)))


class Steps:
    """See `benchmarks.contenders`."""

    def __init__(self, network: str, precision: str, batch_size: int, compiled: bool):
        """Build the network; `compiled`: through `torch.compile`."""
        torch.manual_seed(0)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.set_float32_matmul_precision("high")  # lets a GPU use its faster float32; nothing on a CPU
        torch.backends.cudnn.benchmark = True
        module = Network(blocks(network)).to(self.device, memory_format=torch.channels_last)
        mode = "reduce-overhead" if self.device == "cuda" else "default"
        self.network = torch.compile(module, mode=mode) if compiled else module
        weights = [{"params": [p for p in module.parameters() if (p.ndim > 1) == decays]} for decays in (True, False)]
        weights[1]["weight_decay"] = 0.0
        self.optimizer = torch.optim.SGD(weights, 0.1, momentum=0.9, weight_decay=1e-4, fused=True)
        self.precision, self.batch_size, self.place = precision, batch_size, EXAMPLES
        images, labels = pictures()
        self.images = functional.pad(torch.from_numpy(images), (0, 0, 4, 4, 4, 4)).to(self.device)
        self.labels = torch.from_numpy(labels).long().to(self.device)
        self.span = torch.arange(32, device=self.device)
        self.wrong = torch.zeros((), dtype=torch.long, device=self.device)

    def _batch(self):
        """Cropped and flipped pictures in [-1, 1], channels last, and their labels."""
        if self.place + self.batch_size > EXAMPLES:
            self.order, self.place = torch.randperm(EXAMPLES, device=self.device), 0
        index = self.order[self.place : self.place + self.batch_size]
        self.place += self.batch_size
        top, left = torch.randint(0, 9, (2, len(index), 1), device=self.device)
        flip = torch.rand(len(index), 1, device=self.device) < 0.5
        rows, columns = top + self.span, left + torch.where(flip, 31 - self.span, self.span)
        crops = self.images[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return (crops.float() / 128.0 - 1.0).permute(0, 3, 1, 2), self.labels[index]

    def _precision(self):
        bfloat16 = torch.autocast(self.device, torch.bfloat16)
        return bfloat16 if self.precision == "bfloat16" else contextlib.nullcontext()

    def _step(self):
        pictures, labels = self._batch()
        with self._precision():
            logits = self.network(pictures)
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

    def versions(self) -> dict[str, str]:
        """Of PyTorch."""
        return {"torch": torch.__version__}
