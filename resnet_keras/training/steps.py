"""Compiled training and test steps: the one place, beside BN's kernel, that knows the backends.

An engine takes many steps a call. What happens in each of them is data, drawn on the host: a plan of images, crops and
flips, and learning rates. So Python is never the limit, and every backend sees the same images.
"""

import keras
import numpy as np
from keras import ops

from resnet_keras.data import augment

IS_JAX = keras.config.backend() == "jax"
if IS_JAX:
    import jax
else:
    import tensorflow as tf


def losses(logits, labels):
    """Sums over a batch of the errors (0 or 1 each) and of the cross-entropies (nats, no penalty inside), float32.

    Of logits [b, classes] and labels, whole numbers [b].
    """
    wrong = ops.sum(ops.cast(ops.argmax(logits, axis=-1) != ops.cast(labels, "int32"), "float32"))
    scores = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    return wrong, -ops.sum(ops.take_along_axis(scores, ops.cast(labels, "int32")[:, None], axis=-1))


def compiled(function, signature=None):
    """A function of tensors, compiled by the backend at its first call; once, where TensorFlow gets a signature."""
    if IS_JAX:
        return jax.jit(function)
    # Without conversion of Python's control flow, which halves the tracing time.
    return tf.function(function, signature, autograph=False, reduce_retracing=True)


def gradients(network):
    """A function that gives what a training step would see of a batch: its cross-entropy and the gradient of that.

    It takes images uint8 [b, h, w, c] and labels [b], and gives the mean cross-entropy (nats, no penalty inside) and an
    array for each of `network.trainable_variables` as they are at the call, with BN as in training; nothing changes.
    """

    def loss_of(weights, others, images, labels):
        logits, _ = network.stateless_call(weights, others, images, training=True)
        return losses(logits, labels)[1] / labels.shape[0]

    def on_tape(weights, *rest):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = loss_of(weights, *rest)
        return loss, tape.gradient(loss, weights)

    differentiated = compiled(jax.value_and_grad(loss_of) if IS_JAX else on_tape)

    def of(images, labels):
        groups = network.trainable_variables, network.non_trainable_variables
        values = ([ops.convert_to_tensor(variable) for variable in group] for group in groups)
        loss, arrays = differentiated(*values, images, labels)
        return float(loss), [np.array(array) for array in arrays]

    return of


class Engine:
    """Takes steps of one network: what the backends share. Beside it, each has `train` and `test_step`.

    `arrays` are what the plans speak of, kept on the device: images uint8 [n, h, w, c] and labels int32 [n] of a set in
    memory. `apply` makes (images, labels) of them and the plan of one batch. `most` is the steps of the longest call
    that will come, for which JAX compiles once. `layout`, a `keras.distribution.DataParallel` under which the network
    was made, spreads each batch over devices (JAX).
    """

    batch_of_test = 500
    placed = staticmethod(ops.convert_to_tensor)  # an array of the host on the device

    def __init__(self, network, optimizer, *arrays, apply=augment.apply, most=1, layout=None):
        optimizer.build(network.trainable_variables)
        self.network, self.optimizer, self.apply, self.most, self.layout = network, optimizer, apply, most, layout
        self.arrays = tuple(map(self.placed, arrays))

    def evaluate(self, split) -> tuple[float, float]:
        """Error (percent) and mean cross-entropy of a split, in inference mode."""
        sums = np.zeros(2)
        for images, labels in split.batches(self.batch_of_test):
            sums += np.array(self.test_step(images, labels), np.float64)
        return 100.0 * sums[0] / len(split), sums[1] / len(split)

    def variables(self) -> dict:
        """Every variable of the run by a stable name: the network's, then the velocities."""
        named = {variable.path: variable for variable in self.network.variables}
        velocities = zip(self.network.trainable_variables, self.optimizer.momentums, strict=True)
        return named | {f"velocity/{weight.path}": velocity for weight, velocity in velocities}

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all variables, for a checkpoint."""
        return {name: np.array(ops.convert_to_numpy(variable)) for name, variable in self.variables().items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Set all variables from a checkpoint; raises KeyError or ValueError where it is of another network."""
        for name, variable in self.variables().items():
            variable.assign(state[name])


class TensorFlowEngine(Engine):
    """Steps in a `tf.while_loop` within one `tf.function`; variables are updated in place."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.steps = None  # compiled at the first call
        self.test_step = compiled(lambda images, labels: losses(self.network(images, training=False), labels))

    def train(self, plan, rates: np.ndarray) -> np.ndarray:
        """Take n steps by a plan (a named tuple of arrays [n, batch, ...]) and learning rates float32 [n].

        Returns float32 [n, 2]: training error (percent) and cross-entropy of each batch.
        """
        if self.steps is None:  # once, for any number of steps
            specs = [tf.TensorSpec([None, *field.shape[1:]], field.dtype) for field in (*plan, rates)]
            self.steps = compiled(self._steps, (plan._make(specs[:-1]), specs[-1]))
        return self.steps(plan, rates).numpy()

    def _steps(self, plan, rates):
        count = tf.shape(rates)[0]
        results = tf.TensorArray(tf.float32, count, element_shape=[2])

        def body(step, results):
            return step + 1, results.write(step, self._step(plan._make(field[step] for field in plan), rates[step]))

        _, results = tf.while_loop(lambda step, _: step < count, body, (0, results), parallel_iterations=1)
        return results.stack()

    def _step(self, plan, rate):
        weights = self.network.trainable_variables
        images, labels = self.apply(*self.arrays, plan)
        size = tf.cast(tf.shape(labels)[0], tf.float32)
        with tf.GradientTape() as tape:
            wrong, entropy = losses(self.network(images, training=True), labels)
            loss = entropy / size
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return tf.stack([100.0 * wrong / size, loss])


class JaxEngine(Engine):
    """Steps in a loop within one compiled call; the state lives on the device between calls.

    The number of steps is an argument of the loop, and shorter calls take the arrays of the longest: XLA compiles once,
    for tens of seconds on a GPU. There is no loop as long as all calls take one step, which is how a CPU is at its
    fastest. Of several devices each has the network and the arrays; the places of each batch are shared out.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.groups = self.network.trainable_variables, self.network.non_trainable_variables, self.optimizer.variables
        everywhere = self._sharding() if self.layout else None
        self.steps = jax.jit(self._steps, donate_argnums=0, out_shardings=everywhere)
        self.compiled_test = jax.jit(self._test_step, out_shardings=everywhere)
        self.devices = self.layout.device_mesh.backend_mesh.size if self.layout else 1
        self.batch_of_test += -self.batch_of_test % self.devices
        self.restore(self.state())  # the first donation must not take the network's own buffers

    def _sharding(self, *axes):
        """A copy on every device, or one of the axes shared out: `_sharding(None, "batch")` is the second one."""
        return jax.sharding.NamedSharding(self.layout.device_mesh.backend_mesh, jax.sharding.PartitionSpec(*axes))

    def placed(self, array, *axes):
        """An array of the host on the devices; every process has all of it and places what its own devices take."""
        if self.layout is None:
            return ops.convert_to_tensor(array)
        return jax.make_array_from_callback(array.shape, self._sharding(*axes), lambda part: array[part])

    def train(self, plan, rates: np.ndarray) -> np.ndarray:
        """See `TensorFlowEngine.train`."""
        count = len(rates)
        self.most = max(self.most, count)
        fields = (np.resize(field, (self.most, *field.shape[1:])) for field in plan)  # no step takes what is too much
        plan = plan._make(self.placed(field, None, "batch") for field in fields)
        rates = self.placed(np.resize(rates, self.most))
        values = jax.tree.map(lambda variable: variable.value, self.groups)
        values, results = self.steps(values, self.arrays, plan, rates, count)
        jax.tree.map(lambda variable, value: variable.assign(value), self.groups, values)
        return np.array(results)[:count]

    def _steps(self, values, arrays, plan, rates, count):
        def body(step, carry):
            values, results = carry
            values, result = self._step(values, arrays, plan._make(field[step] for field in plan), rates[step])
            return values, results.at[step].set(result)

        carry = values, jax.numpy.zeros((len(rates), 2), "float32")
        return body(0, carry) if len(rates) == 1 else jax.lax.fori_loop(0, count, body, carry)

    def _step(self, values, arrays, plan, rate):
        trainable, others, slots = values
        images, labels = self.apply(*arrays, plan)

        def loss_of(trainable):
            logits, new = self.network.stateless_call(trainable, others, images, training=True)
            wrong, entropy = losses(logits, labels)
            return entropy / len(labels), (wrong, new)

        (loss, (wrong, others)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        rated = zip(self.optimizer.variables, slots, strict=True)
        slots = [rate if variable is self.optimizer.learning_rate else slot for variable, slot in rated]
        trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, others, slots), jax.numpy.stack([100.0 * wrong / len(labels), loss])

    def test_step(self, images, labels):
        """Sums of errors and cross-entropies of one batch."""
        axes = ["batch"] if len(images) % self.devices == 0 else []  # the last batch may not be shared out
        values = jax.tree.map(lambda variable: variable.value, self.groups[:2])
        return self.compiled_test(values, self.placed(images, *axes), self.placed(labels, *axes))

    def _test_step(self, values, images, labels):
        logits, _ = self.network.stateless_call(*values, images, training=False)
        return losses(logits, labels)


engine = JaxEngine if IS_JAX else TensorFlowEngine
