"""The further options of `build`: which networks take them, and what they may be."""

from __future__ import annotations

from resnet_keras.errors import UserError

# Option -> (default, allowed values; None for those that have a check of their own).
CHOICES = {
    "include_top": (True, (True, False)),
    "pooling": (None, (None, "avg", "max")),
    "features": (None, None),
    "stride_in": ("1x1", ("1x1", "3x3")),
    "pool_padding": ("end", ("end", "both")),
    "batch_norm": (True, (True, False)),
}
SHARED = ("include_top", "pooling", "features")
FAMILY_OPTIONS = {
    "cifar": (*SHARED, "batch_norm"),
    "imagenet": (*SHARED, "batch_norm", "stride_in", "pool_padding"),
    "vgg": (*SHARED, "batch_norm"),
}
FAMILY_DEFAULTS = {"vgg": {"batch_norm": False}}  # [41] is older than BN


def checked_options(net, given: dict) -> dict:
    """All options of an `Architecture`, defaults filled in.

    Raises:
        UserError: An option that this network does not take, or a value that the option does not take.
    """
    allowed = [name for name in FAMILY_OPTIONS[net.family] if name != "stride_in" or net.block == "bottleneck"]
    for name, value in given.items():
        if name not in allowed:
            raise UserError(f"{net.name} takes no option {name!r}: the further options are {', '.join(allowed)}.")
        values = CHOICES[name][1]
        if values is not None and (isinstance(value, int) != isinstance(values[0], bool) or value not in values):
            raise UserError(f"{name}={value!r}: use one of {', '.join(map(repr, values))}.")
    features = _checked_features(net, given.get("features"))
    if features and given.get("include_top"):
        raise UserError("include_top=True makes logits and features makes maps: leave one of them out.")
    defaults = {name: CHOICES[name][0] for name in allowed} | FAMILY_DEFAULTS.get(net.family, {})
    options = {name: given.get(name, default) for name, default in defaults.items()}
    options |= {"features": features, "include_top": options["include_top"] and not features}
    if options["pooling"] and (features or options["include_top"]):
        raise UserError(f"pooling={options['pooling']!r} is for a network without its top: add include_top=False.")
    return options


def _checked_features(net, features) -> list[str] | None:
    if features is None:
        return None
    given = list(features) if isinstance(features, (list, tuple)) else features
    if not isinstance(given, list) or not given or any(stage not in net.stages for stage in given):
        raise UserError(f"features={features!r}: give a list of stages out of {', '.join(net.stages)}.")
    return given
