"""VGG-16 and VGG-19, the paper's reference networks (Fig. 3, left; [41] of the paper, configurations D and E)."""

import keras

from resnet_keras.models.catalogue import VGG_WIDTH
from resnet_keras.models.layers import Conv2D, normalization
from resnet_keras.models.resnet import Network, pooling

DROPOUT = 0.5  # on the two wide fully-connected layers, as in [41]


@keras.saving.register_keras_serializable("resnet_keras")
class VGG(Network):
    """Stages of 3x3 convolutions with a bias and ReLU each, 2x2 max pooling after every stage; see `Network`.

    With `batch_norm`, BN stands between convolution and ReLU, and takes over the bias.
    """

    def make_stages(self, net, policy):
        """Each stage but the first begins with the pooling that follows the one before: features are unpooled maps."""
        batch_norm, stages = self.arguments["batch_norm"], {}
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
        layers = [last, keras.layers.Flatten(name="flatten", data_format="channels_last", dtype=policy)]
        for number in (6, 7):
            layers += [
                keras.layers.Dense(VGG_WIDTH, activation="relu", name=f"fc{number}", dtype=policy),
                keras.layers.Dropout(DROPOUT, seed=arguments["seed"], name=f"dropout{number}", dtype=policy),
            ]
        return [*layers, keras.layers.Dense(arguments["classes"], name="fc8", dtype="float32")]


def halving(number: int, policy):
    """2x2 max pooling of stride 2, after stage `number`."""
    return keras.layers.MaxPooling2D(2, 2, name=f"pool{number}", data_format="channels_last", dtype=policy)
