"""The learning rate as a pure function of the iteration and of the warm-up's end: a resume needs no scheduler state."""

import numpy as np

from resnet_keras.training.recipe import Recipe


def learning_rate(recipe: Recipe, iteration: int, warming_up: bool = False) -> float:
    """Rate of the step that takes `iteration` completed iterations, from 0, to `iteration` + 1 (Sec. 4.2).

    `warming_up`: whether the training error has yet to fall below `recipe.warmup_error`.
    """
    rate = recipe.learning_rate * recipe.drop_factor ** sum(iteration >= drop for drop in recipe.drops)
    return min(rate, recipe.warmup_rate) if warming_up else rate


def warmup_end(recipe: Recipe, depth: int, train_error: np.ndarray) -> int | None:
    """Iteration at which the warm-up ended: 0 without one, None while it lasts.

    `train_error`, in percent, has a value for each iteration done so far. It is looked at after every `warmup_window`
    iterations, over those iterations, so that it depends on the training alone and not on how often somebody logs.
    """
    if not recipe.warms_up(depth):
        return 0
    window = recipe.warmup_window
    errors = np.asarray(train_error[: len(train_error) // window * window], np.float64)
    below = np.flatnonzero(errors.reshape(-1, window).mean(axis=1) < recipe.warmup_error)
    return int(below[0] + 1) * window if len(below) else None
