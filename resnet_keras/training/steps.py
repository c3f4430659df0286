"""Compiled training and evaluation steps: the one place, beside BN's kernel, that knows the backends.

An engine holds the images on the device, or is handed them, and takes many steps a call. What happens in each step is
data, drawn on the host: a plan and learning rates. So Python is never the limit, and every backend sees the same
pictures.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from resnet_keras.data import augment
from resnet_keras.errors import UserError


def losses(logits, labels):
    """Sum over a batch of the errors (0 or 1 each) and of the cross-entropies (nats), float32, no penalty inside.

    Args:
        logits: float32 [b, classes].
        labels: Whole numbers [b].
    """
    wrong = ops.sum(ops.cast(ops.argmax(logits, axis=-1) != ops.cast(labels, "int32"), "float32"))
    scores = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    picked = ops.take_along_axis(scores, ops.cast(labels, "int32")[:, None], axis=-1)
    return wrong, -ops.sum(picked)


def engine(network, optimizer, *held, **options):
    """The engine of Keras' current backend.

    Args:
        network: A built network.
        optimizer: A Keras optimizer; built here.
        *held: Arrays to keep on the device: images uint8 [n, h, w, c] and labels int32 [n] for a set in memory.
        **options: `apply`: makes (pictures, labels) of `held` and the plan of one batch; default: `augment.apply`.
            `xla`: compile with XLA where that is a choice (TensorFlow).
            `most`: steps of the longest call that will come, for which JAX compiles once.
            `layout`: spread each batch over the devices of a `keras.distribution.DataParallel`, under which the
            network was made (JAX).

    Raises:
        UserError: The backend has none.
    """
    engine_class = _supported(ENGINES)
    optimizer.build(network.trainable_variables)
    return engine_class(network, optimizer, *held, **options)


def _supported(by_backend: dict):
    """What a table holds for Keras' current backend."""
    backend = keras.config.backend()
    if backend not in by_backend:
        raise UserError(
            f"training runs on Keras' backends {' and '.join(by_backend)}, not on {backend!r}: "
            "set KERAS_BACKEND to one."
        )
    return by_backend[backend]


def gradients(network):
    """A function that gives what a training step would see of a batch: its cross-entropy and the gradient of that.

    BN takes the batch's statistics, as in training; nothing of the network changes, the moving statistics included.

    Args:
        network: A built network. The function takes the values that its variables have when it is called.

    Returns:
        A function of images uint8 [b, h, w, c] and labels [b], to be called with batches of one size: mean
        cross-entropy (nats, no penalty inside), and an array for each of `network.trainable_variables`.

    Raises:
        UserError: The backend has no engine.
    """

    def loss_of(weights, others, images, labels):
        logits, _ = network.stateless_call(weights, others, images, training=True)
        return losses(logits, labels)[1] / labels.shape[0]

    compiled = _supported(GRADIENTS)(loss_of)

    def of(images, labels):
        groups = (network.trainable_variables, network.non_trainable_variables)
        values = [[ops.convert_to_tensor(variable) for variable in group] for group in groups]
        loss, found = compiled(*values, ops.convert_to_tensor(images), ops.convert_to_tensor(labels))
        return float(loss), [np.array(gradient) for gradient in found]

    return of


def _tensorflow_gradients(loss_of):
    import tensorflow as tf

    def loss_and_gradients(weights, *rest):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = loss_of(weights, *rest)
        return loss, tape.gradient(loss, weights)

    return tf.function(loss_and_gradients, autograph=False)


def _jax_gradients(loss_of):
    import jax

    return jax.jit(jax.value_and_grad(loss_of))


GRADIENTS = {"tensorflow": _tensorflow_gradients, "jax": _jax_gradients}


def compiled(function):
    """A function of tensors, compiled by the backend.

    Raises:
        UserError: The backend has no engine.
    """
    return _supported(COMPILERS)(function)


def _tensorflow_compiled(function):
    import tensorflow as tf

    return tf.function(function, autograph=False, reduce_retracing=True)


def _jax_compiled(function):
    import jax

    return jax.jit(function)


COMPILERS = {"tensorflow": _tensorflow_compiled, "jax": _jax_compiled}


class Engine:
    """What the engines share: the interface, and the state by name."""

    def __init__(self, network, optimizer, *held, apply=augment.apply, most=1):
        self.network, self.optimizer, self.most = network, optimizer, most
        self.apply = apply
        self.batch_of_test = 500
        self.load(*held)

    def load(self, *held):
        """Put what the plans speak of on the device."""
        self.held = tuple(ops.convert_to_tensor(array) for array in held)

    def variables(self) -> dict:
        """Every variable of the run by a stable name: the network's, then the velocities."""
        named = {variable.path: variable for variable in self.network.variables}
        velocities = zip(self.network.trainable_variables, self.optimizer.momentums, strict=True)
        named.update({f"velocity/{weight.path}": velocity for weight, velocity in velocities})
        return named

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all variables, for a checkpoint."""
        return {name: np.array(ops.convert_to_numpy(variable)) for name, variable in self.variables().items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Set all variables from a checkpoint.

        Raises:
            UserError: A variable is missing or of another shape; nothing is changed.
        """
        named = self.variables()
        unfit = [n for n, v in named.items() if n not in state or state[n].shape != tuple(v.shape)]
        if unfit or len(state) != len(named):
            raise UserError(f"the checkpoint is of another network: {', '.join(unfit[:3]) or 'it has more variables'}.")
        for name, variable in named.items():
            variable.assign(state[name])

    def train(self, plan, rates: np.ndarray) -> np.ndarray:
        """Take len(rates) steps; returns float32 [n, 2]: training error (percent) and cross-entropy of each batch.

        Args:
            plan: A named tuple of arrays [n, batch, ...], as `apply` wants it.
            rates: float32 [n], learning rates.
        """
        raise NotImplementedError

    def evaluate(self, split) -> tuple[float, float]:
        """Error (percent) and mean cross-entropy of a split, in inference mode."""
        sums = np.zeros(2)
        for images, labels in split.batches(self.batch_of_test):
            sums += np.array(self.test_step(images, labels), np.float64)
        return 100.0 * sums[0] / len(split), sums[1] / len(split)


class TensorFlowEngine(Engine):
    """Steps in a `tf.while_loop` within one `tf.function`; variables are updated in place."""

    def __init__(self, network, optimizer, *held, xla=False, **shared):
        import tensorflow as tf

        super().__init__(network, optimizer, *held, **shared)
        # Not converting Python control flow halves the tracing time; the loop below is a graph loop already.
        self.steps = tf.function(self._steps, autograph=False, reduce_retracing=True, jit_compile=xla)
        self.test_step = tf.function(self._test_step, autograph=False, reduce_retracing=True, jit_compile=xla)

    def train(self, plan, rates):
        """See `Engine.train`."""
        import tensorflow as tf

        plan = plan._make(tf.convert_to_tensor(field) for field in plan)
        return self.steps(plan, tf.convert_to_tensor(rates)).numpy()

    def _steps(self, plan, rates):
        import tensorflow as tf

        count = tf.shape(rates)[0]
        results = tf.TensorArray(tf.float32, count, element_shape=[2])

        def body(step, results):
            result = self._step(plan._make(field[step] for field in plan), rates[step])
            return step + 1, results.write(step, result)

        _, results = tf.while_loop(lambda step, _: step < count, body, (0, results), parallel_iterations=1)
        return results.stack()

    def _step(self, plan, rate):
        result, gradients = self._gradients(plan)
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        return result

    def _gradients(self, plan):
        """Error (percent) and cross-entropy of a batch, and its gradients."""
        import tensorflow as tf

        pictures, labels = self.apply(*self.held, plan)
        size = tf.cast(tf.shape(labels)[0], tf.float32)
        with tf.GradientTape() as tape:
            wrong, entropy = losses(self.network(pictures, training=True), labels)
            loss = entropy / size
        return tf.stack([100.0 * wrong / size, loss]), tape.gradient(loss, self.network.trainable_variables)

    def _test_step(self, images, labels):
        return losses(self.network(images, training=False), labels)


class JaxEngine(Engine):
    """Steps in a loop within one compiled call; the state lives on the device between calls.

    The number of steps is an argument of the loop, and shorter calls take the arrays of the longest: XLA compiles once,
    for tens of seconds on a GPU, whatever the intervals of a recipe make of the calls. There is no loop as long as all
    calls take one step, which is how a CPU is at its fastest.

    Over several devices, each holds the network and what the plans speak of; the places of each batch are shared out.
    """

    def __init__(self, network, optimizer, *held, xla=True, layout=None, **shared):
        import jax

        self.mesh = layout.device_mesh.backend_mesh if layout else None
        super().__init__(network, optimizer, *held, **shared)
        rate = [variable is optimizer.learning_rate for variable in optimizer.variables]
        self.rate_index = rate.index(True)
        whole = {"out_shardings": self._sharding()} if layout else {}
        self.steps = jax.jit(self._steps, donate_argnums=0, **whole)
        self.single = jax.jit(self._single, donate_argnums=0, **whole)
        self.test_step_compiled = jax.jit(self._test_step, **whole)
        if layout:
            self.batch_of_test += -self.batch_of_test % self.mesh.size
        self.restore(self.state())  # the first donation must not take the network's own buffers

    def load(self, *held):
        """Put what the plans speak of on every device."""
        if self.mesh is None:
            super().load(*held)
        else:
            self.held = tuple(self._placed(array) for array in held)

    def _sharding(self, *axes):
        """Whole on every device, or one of the axes shared out: `_sharding(None, "batch")` is the second one."""
        import jax

        return jax.sharding.NamedSharding(self.mesh, jax.sharding.PartitionSpec(*axes))

    def _placed(self, array, *axes):
        """An array of the host on the devices; every process has it whole and places what its own devices hold."""
        import jax

        if self.mesh is None:
            return array
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, self._sharding(*axes), lambda part: array[part])

    def _gather(self):
        """The variables' values, in the order of a stateless call."""
        groups = (self.network.trainable_variables, self.network.non_trainable_variables, self.optimizer.variables)
        return tuple([variable.value for variable in group] for group in groups)

    def _scatter(self, values):
        groups = (self.network.trainable_variables, self.network.non_trainable_variables, self.optimizer.variables)
        for group, new in zip(groups, values, strict=True):
            for variable, value in zip(group, new, strict=True):
                variable.assign(value)

    def train(self, plan, rates):
        """See `Engine.train`."""
        count = len(rates)
        self.most = max(self.most, count)
        plan = plan._make(self._placed(_filled(field, self.most), None, "batch") for field in plan)
        arguments = (self._gather(), self.held, plan, self._placed(_filled(rates, self.most)))
        values, results = self.steps(*arguments, count) if self.most > 1 else self.single(*arguments)
        self._scatter(values)
        return np.array(results)[:count]

    def _single(self, values, held, plan, rates):
        values, result = self._step(values, held, plan._make(field[0] for field in plan), rates[0])
        return values, result[None]

    def _steps(self, values, held, plan, rates, count):
        import jax

        def body(step, carry):
            values, results = carry
            values, result = self._step(values, held, plan._make(field[step] for field in plan), rates[step])
            return values, results.at[step].set(result)

        results = jax.numpy.zeros((len(rates), 2), "float32")
        return jax.lax.fori_loop(0, count, body, (values, results))

    def _step(self, values, held, plan, rate):
        trainable, others, slots = values
        result, others, gradients = self._gradients(trainable, others, held, plan)
        slots = [rate if index == self.rate_index else slot for index, slot in enumerate(slots)]
        trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, others, slots), result

    def _gradients(self, trainable, others, held, plan):
        """Error (percent) and cross-entropy of a batch, BN's new statistics, and gradients."""
        import jax

        pictures, labels = self.apply(*held, plan)
        size = len(labels)

        def loss_of(trainable):
            logits, new = self.network.stateless_call(trainable, others, pictures, training=True)
            wrong, entropy = losses(logits, labels)
            return entropy / size, (wrong, new)

        (loss, (wrong, others)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        return jax.numpy.stack([100.0 * wrong / size, loss]), others, gradients

    def test_step(self, images, labels):
        """Sums of errors and cross-entropies of one batch."""
        trainable, others, _ = self._gather()
        axes = ("batch",) if self.mesh and len(images) % self.mesh.size == 0 else ()  # the last batch may not divide
        placed = (self._placed(array, *axes) for array in (images, labels))
        return self.test_step_compiled(trainable, others, *placed)

    def _test_step(self, trainable, others, images, labels):
        logits, _ = self.network.stateless_call(trainable, others, images, training=False)
        return losses(logits, labels)


def _filled(array, length: int):
    """The array with zeros after its end, up to this length."""
    return np.pad(array, [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1))


ENGINES = {"tensorflow": TensorFlowEngine, "jax": JaxEngine}
