"""What all networks have in common: raw pixels in, stages named after the paper, a top that can be left off."""

from __future__ import annotations

import keras
import numpy as np

from resnet_keras.errors import UserError
from resnet_keras.models.catalogue import architecture
from resnet_keras.models.initialization import initialize
from resnet_keras.models.layers import MeanSubtraction
from resnet_keras.models.repeat import run


class Network(keras.Model):
    """A network of the catalogue. Make one with `resnet_keras.build`, which checks the arguments.

    It is a loop over layers, not a functional graph: a graph of 1202 layers exceeds Python's recursion limit.
    Variables are named ``<network>/stage2_block1/conv1/kernel`` and so on, whatever the options.

    Attributes:
        mean: The first layer; `mean.mean` is the stored mean. See `set_mean`.
        stages: Stage's name in the paper -> its layers in order.
        top: What follows the last stage: the classifier, a pooling, or nothing.
        arguments: The constructor's arguments but name and dtype.
    """

    def __init__(
        self,
        *,
        name,
        classes,
        input_shape,
        seed=0,
        include_top=True,
        pooling=None,
        features=None,
        dtype=None,
        **own,
    ):
        """See `resnet_keras.build`; `own` are the arguments of one kind of network."""
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.arguments = {
            "classes": classes,
            "input_shape": list(input_shape),
            "seed": seed,
            "include_top": include_top,
            "pooling": pooling,
            "features": features,
            **own,
        }
        net = architecture(name)
        # Sec. 4.2 subtracts a mean picture, Sec. 3.4 too; the authors' ImageNet networks, and VGG's, a mean colour.
        mean_shape = input_shape if net.family == "cifar" else input_shape[-1:]
        self.mean = MeanSubtraction(mean_shape, name="mean", dtype=self.dtype_policy)
        stages = self.make_stages(net, self.dtype_policy)
        self.stages = {stage: stages[stage] for stage in used_stages(net, features)}
        self.top = self.make_top(net)

    def make_stages(self, net, policy) -> dict[str, list]:
        """The stages of an `Architecture`, as layers without weights yet."""
        raise NotImplementedError

    def make_classifier(self, classes: int, seed: int) -> list:
        """What makes logits of the last stage's maps."""
        raise NotImplementedError

    def make_pooling(self, kind: str | None) -> list:
        """The pooling of a network without its top, float32 as the classifier is."""
        poolings = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
        return [poolings[kind](name="pool", data_format="channels_last", dtype="float32")] if kind else []

    def make_top(self, net) -> list:
        """The classifier, a pooling, or nothing."""
        given = self.arguments
        if given["include_top"]:
            return self.make_classifier(given["classes"], given["seed"])
        return [] if given["features"] else self.make_pooling(given["pooling"])

    def chain(self) -> list:
        """Every layer of the network, in the order of the data."""
        return [self.mean, *(layer for layers in self.stages.values() for layer in layers), *self.top]

    def parts(self) -> list[tuple[str, keras.Layer, tuple]]:
        """(place, layer, shape of its input) of every layer, those inside the blocks too, in the order of the data.

        Works before the network is built. A place is a path below the network's name, such as
        ``stage2_block1/conv1``.
        """
        found, shape = [], (None, *self.arguments["input_shape"])
        for layer in self.chain():
            if hasattr(layer, "parts"):
                found += [(f"{layer.name}/{part.name}", part, before) for part, before in layer.parts(shape)]
            else:
                found.append((layer.name, layer, shape))
            shape = layer.compute_output_shape(shape)
        return found

    def build(self, input_shape=None):
        """Create every variable and draw the initial weights."""
        shape = (None, *self.arguments["input_shape"])
        for layer in self.chain():
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        initialize(self, self.arguments["seed"])

    def call(self, inputs, training=None):
        """Pictures [b, h, w, c], raw pixels 0..255, to float32 logits [b, classes], or to maps by stage."""
        x, maps = self.mean(inputs), {}
        for stage, layers in self.stages.items():
            x = maps[stage] = run(layers, x, training)
        if self.arguments["features"]:
            return {stage: maps[stage] for stage in self.arguments["features"]}
        for layer in self.top:
            x = layer(x, training=training)
        return x

    def set_mean(self, mean) -> None:
        """Store what is subtracted from the pixels, in 0..255.

        Args:
            mean: [h, w, c] for a CIFAR network, [c] for the others; [c] does for a CIFAR network too.

        Raises:
            UserError: The shape does not fit; nothing is changed.
        """
        wanted = tuple(self.mean.mean.shape)
        given = np.asarray(mean, "float32")
        if given.shape not in (wanted, wanted[-1:]):
            raise UserError(f"a mean of shape {given.shape} does not fit {self.name}: give {wanted} or {wanted[-1:]}.")
        self.mean.mean.assign(np.broadcast_to(given, wanted))

    def get_config(self):
        """What `from_config` needs to make the same network."""
        dtype = keras.saving.serialize_keras_object(self.dtype_policy)
        return {"name": self.name, "dtype": dtype, **self.arguments}


def used_stages(net, features) -> tuple[str, ...]:
    """All stages or, where maps are asked for, those up to the deepest map."""
    if not features:
        return net.stages
    return net.stages[: 1 + max(net.stages.index(stage) for stage in features)]
