"""Plain and residual networks (Sec. 4.2, Table 1) and VGG: a forward pass from raw pixels to logits, layer by layer."""

from collections.abc import Iterator

import keras
import numpy as np

from resnet_keras.errors import UserError
from resnet_keras.models import scan
from resnet_keras.models.blocks import BLOCKS, Block
from resnet_keras.models.catalogue import FAMILIES, VGG_WIDTH, architecture
from resnet_keras.models.layers import Conv2D, MaxPooling2D, MeanSubtraction, he_normal, normalization

DROPOUT = 0.5  # on the two wide fully-connected layers of VGG, as in [41] of the paper


class Network(keras.Model):
    """What all networks share. Make one with `resnet_keras.build`, which checks the arguments.

    It is a loop over layers, not a functional graph: a graph of 1202 layers exceeds Python's recursion limit.
    Variables are named ``<network>/stage2_block1/conv1/kernel`` and so on, whatever the options. Attributes: `mean`,
    the first layer, with the stored mean `mean.mean`; `stages`, the layers of each stage by name; `top`, what follows:
    the classifier, a pooling, or nothing; `arguments`, the constructor's, but name and dtype.
    """

    scan_from: int | None = scan.MANY  # equal blocks in a row that a compiled step runs as a loop; None: never

    def __init__(self, *, name, dtype=None, **arguments):
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.arguments = {**arguments, "input_shape": list(arguments["input_shape"])}
        net, shape, features = architecture(name), arguments["input_shape"], arguments["features"]
        # Sec. 4.2 subtracts a mean image, Sec. 3.4 too; the authors' ImageNet networks, and VGG's, a mean colour.
        mean_shape = shape if net.family == "cifar" else shape[-1:]
        self.mean = MeanSubtraction(mean_shape, name="mean", dtype=self.dtype_policy)
        stages = self.make_stages(net)
        self.stages = {stage: stages[stage] for stage in net.stages_up_to(features)}
        self.top = [] if features else self.make_top(net)

    def chain(self) -> list:
        """Every layer of the network, in the order of the data; a block is one of them."""
        return [self.mean, *(layer for layers in self.stages.values() for layer in layers), *self.top]

    def walk(self, x, training=False, layers=None) -> Iterator[tuple]:
        """Run `layers` (default: `chain()`) in turn on raw pixels [b, h, w, c]; yields (place, layer, input, output).

        The layers inside a block come before the block itself, at places such as ``stage2_block1/conv1``. A walk that
        is left early runs no further layers.
        """
        for layer in self.chain() if layers is None else layers:
            before, inside = x, []
            watch = {"watch": lambda *step, inside=inside: inside.append(step)} if isinstance(layer, Block) else {}
            x = layer(x, training=training, **watch)
            yield from ((f"{layer.name}/{part.name}", part, *tensors) for part, *tensors in inside)
            yield layer.name, layer, before, x

    def call(self, inputs, training=None):
        """Images [b, h, w, c], raw pixels 0..255, to float32 logits [b, classes], or to maps by stage."""
        features, x, maps = self.arguments["features"], inputs, {}
        ends = {self.stages[stage][-1].name: stage for stage in features or ()}
        for place, _, _, x in self.walk(inputs, training, scan.joined(self.chain(), self.scan_from)):
            if place in ends:
                maps[ends[place]] = x
        return {stage: maps[stage] for stage in features} if features else x

    def parts(self) -> list[tuple[str, keras.Layer]]:
        """(place, layer) of every layer, those inside the blocks too; a place is such as ``stage2_block1/conv1``."""
        parts = []
        for layer in self.chain():
            inside = layer.parts() if isinstance(layer, Block) else ()
            parts += [(f"{layer.name}/{part.name}", part) for part in inside] or [(layer.name, layer)]
        return parts

    def build(self, input_shape=None):
        """Create every variable and draw the initial weights."""
        shape = (None, *self.arguments["input_shape"])
        for layer in self.chain():
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        for variable in self.trainable_variables:  # BN and biases start at their constants (gamma at 1)
            _, _, place = variable.path.partition("/")
            if place.endswith("/kernel"):
                variable.assign(he_normal(tuple(variable.shape), self.arguments["seed"], place))

    def set_mean(self, mean) -> None:
        """Store what is subtracted from the pixels, in 0..255: [h, w, c] or [c]; a UserError for another shape.

        A CIFAR network, which keeps a mean image, takes a mean colour for all its pixels; the others average an image.
        """
        shape, values = tuple(self.mean.mean.shape), np.asarray(mean, "float32")
        if len(shape) == 1 and values.ndim == 3:
            values = values.mean(axis=(0, 1), dtype="float64")
        if values.shape not in (shape, shape[-1:]):
            allowed = f"{shape} or {shape[-1:]}" if len(shape) == 3 else f"(height, width, {shape[0]}) or {shape}"
            raise UserError(f"a mean of shape {np.shape(mean)} does not fit {self.name}: give {allowed}.")
        self.mean.mean.assign(np.broadcast_to(values, shape).astype("float32"))

    def get_config(self):
        """What `from_config` needs to make the same network."""
        dtype = keras.saving.serialize_keras_object(self.dtype_policy)
        return {"name": self.name, "dtype": dtype, **self.arguments}


@keras.saving.register_keras_serializable("resnet_keras")
class ResNet(Network):
    """A plain or residual network; see `Network`."""

    @property
    def blocks(self) -> list:
        """Every block, in order."""
        return [layer for layer in self.chain() if isinstance(layer, Block)]

    def make_stages(self, net):
        """conv1, then a stage for each size of the map."""
        policy, block = self.dtype_policy, BLOCKS[net.block]
        options = {option: self.arguments[option] for option in ("shortcut", "stride_in", "batch_norm")}
        conv = Conv2D(*FAMILIES[net.family].stem, name="conv1", dtype=policy)
        bn = normalization(options["batch_norm"], name="bn1", dtype=policy)
        stages = {"conv1": [conv, bn, keras.layers.ReLU(name="relu1", dtype=policy)]}
        for stage, row in net.layout().items():
            stages[stage] = [block(width, step, **options, name=name, dtype=policy) for name, width, step in row]
        if net.family == "imagenet":
            stages["conv2"].insert(0, MaxPooling2D(self.arguments["pool_padding"], name="pool1", dtype=policy))
        return stages

    def make_top(self, net):
        """Global average pooling and one fully-connected layer: they cost nothing, and the loss needs exact logits."""
        if not self.arguments["include_top"]:
            return pooling(self.arguments["pooling"])
        return [*pooling("avg"), keras.layers.Dense(self.arguments["classes"], name="fc", dtype="float32")]


def pooling(kind: str | None) -> list:
    """A global pooling, ``"avg"`` or ``"max"``, or nothing."""
    kinds = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    return [kinds[kind](name="pool", data_format="channels_last", dtype="float32")] if kind else []


@keras.saving.register_keras_serializable("resnet_keras")
class VGG(Network):
    """3x3 convolutions with a bias, or BN in its place, and ReLU; 2x2 max pooling after every stage ([41], D and E)."""

    def make_stages(self, net):
        """Each stage but the first begins with the pooling that follows the one before: features are unpooled maps."""
        batch_norm, policy, stages = self.arguments["batch_norm"], self.dtype_policy, {}
        for number, (stage, convolutions) in enumerate(net.layout().items(), start=1):
            stages[stage] = [halving(number - 1, policy)] if number > 1 else []
            for place, width, _ in convolutions:
                stages[stage].append(Conv2D(width, 3, use_bias=not batch_norm, name=f"conv{place}", dtype=policy))
                stages[stage] += [normalization(True, name=f"bn{place}", dtype=policy)] if batch_norm else []
                stages[stage].append(keras.layers.ReLU(name=f"relu{place}", dtype=policy))
        return stages

    def make_top(self, net):
        """The last pooling, then fc6 and fc7 with dropout, and the logits."""
        arguments, policy = self.arguments, self.dtype_policy
        last = halving(len(net.blocks), policy)
        if not arguments["include_top"]:
            return [last, *pooling(arguments["pooling"])]
        layers, seed = [last, keras.layers.Flatten("channels_last", name="flatten", dtype=policy)], arguments["seed"]
        for number in (6, 7):
            layers.append(keras.layers.Dense(VGG_WIDTH, activation="relu", name=f"fc{number}", dtype=policy))
            layers.append(keras.layers.Dropout(DROPOUT, seed=seed, name=f"dropout{number}", dtype=policy))
        return [*layers, keras.layers.Dense(arguments["classes"], name="fc8", dtype="float32")]


def halving(number: int, policy):
    """2x2 max pooling of stride 2, after stage `number`."""
    return keras.layers.MaxPooling2D(2, 2, name=f"pool{number}", data_format="channels_last", dtype=policy)
