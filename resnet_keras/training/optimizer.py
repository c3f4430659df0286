"""SGD exactly as the paper's: momentum with the learning rate inside the velocity, and coupled weight decay."""

import keras


class SGD(keras.optimizers.SGD):
    """v <- momentum * v - rate * (g + decay * w); w <- w + v.

    The rate inside the velocity is the authors' Caffe rule and Keras' own; PyTorch keeps it outside, so the two part
    for a while after each drop of the rate. The decay belongs to the gradient: Keras' `weight_decay` is decoupled and
    about ten times too weak at momentum 0.9, and `keras.regularizers.L2(1e-4)` is twice the paper's 1e-4.

    `coupled_decay` is that decay, on ``"kernels"`` alone, so that BN and biases do not decay, or on ``"all"``.
    """

    def __init__(self, learning_rate=0.1, momentum=0.9, coupled_decay=1e-4, decay_on="kernels", **kwargs):
        super().__init__(learning_rate=learning_rate, momentum=momentum, **kwargs)
        self.coupled_decay, self.decay_on = coupled_decay, decay_on

    def build(self, variables):
        """Make the velocities, and note which variables decay."""
        super().build(variables)
        self.decays = [self.decay_on == "all" or variable.path.endswith("/kernel") for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        """Move one variable."""
        if self.coupled_decay and self.decays[self._get_variable_index(variable)]:
            gradient = gradient + self.coupled_decay * keras.ops.convert_to_tensor(variable)
        super().update_step(gradient, variable, learning_rate)
