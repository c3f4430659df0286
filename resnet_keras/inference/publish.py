"""Makes of a run a network that is given to others: its weights, compressed, and a model card."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from resnet_keras.errors import UserError
from resnet_keras.files import write_atomically
from resnet_keras.models.catalogue import architecture
from resnet_keras.store import RunFolder, Store

LEVEL = 9  # of zip's deflation: float32 weights lose a tenth, HDF5's empty space nearly all


def short_name(config: dict) -> str:
    """What a run's network is published as unless a name is given: `resnet20-cifar10_jpeg`, `resnet56-B-cifar10`."""
    option = config["shortcut"]
    words = [config["network"]]
    words += [] if option == architecture(config["network"]).shortcut else [option]
    words += [] if config["recipe"].get("batch_norm", True) else ["nobn"]
    return "-".join([*words, config["data"]])


def publish(store: Store, run_name: str, name: str | None = None, classes=None, replace: bool = False) -> RunFolder:
    """Copy a finished run's network and what says what it is to `results/models/<name>/`, with a model card.

    Args:
        store: The results folder.
        run_name: A run in it.
        name: What to call it; default: see `short_name`.
        classes: Names of the classes, for a run that has not kept them.
        replace: Whether what is published under the name already may go.

    Returns:
        The folder written.

    Raises:
        UserError: The run is not finished or has no network here, or the name is taken.
    """
    run = store.run(run_name)
    if not run.config:
        raise UserError(f"no run {run_name!r}: `resnet-keras list` prints those there are.")
    if run.status != "finished":
        raise UserError(f"{run_name} is {run.status}: only a finished run can be published.")
    target = store.model(name or short_name(run.config))
    if target.config and not replace:
        raise UserError(f"{target.name} is published already: add --force to replace it, or give another --name.")
    network = run.load_network()
    classes = classes or run.classes or tuple(f"class {index}" for index in range(network.arguments["classes"]))
    content = packed(network)
    target.path.mkdir(parents=True, exist_ok=True)
    write_atomically(target.network_file, content)
    target.replace_config({**run.config, "run": run.name, "classes": list(classes)})
    target.write_environment(run.environment)
    target.write_summary(run.summary)
    target.write_card(card(target, len(content)))
    return target


def packed(network) -> bytes:
    """The bytes of a `.keras` file, compressed; Keras reads it as any other."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "network.keras"
        network.save(plain)
        tight = io.BytesIO()
        with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tight, "w", zipfile.ZIP_DEFLATED, True, LEVEL) as target:
            for item in source.infolist():
                target.writestr(item.filename, source.read(item))
        return tight.getvalue()


def card(folder: RunFolder, size: int) -> str:
    """The model card of a published network, in Markdown, made of its run's files.

    Args:
        folder: The published network.
        size: Bytes of its `network.keras`.
    """
    config, summary, environment = folder.config, folder.summary, folder.environment
    recipe, title = config["recipe"], _title(config)
    rows = {
        "network": f"{title}, option {config['shortcut']}" if config["shortcut"] != "none" else title,
        "parameters": f"{summary['parameters']:,}",
        "data": f"{config['data_title']}, version {config['data_version']}",
        "classes": ", ".join(folder.classes[:10])
        + (f" and {len(folder.classes) - 10} more" * (len(folder.classes) > 10)),
        "scale": f"{config['scale']}: {recipe['iterations']:,} iterations of batch {recipe['batch_size']}",
        "seed": str(config["seed"]),
        "test error": f"{summary['test_error']:.2f} % (after the last iteration; single original view)",
        "training error": f"{summary['train_error']:.2f} % (over the last log interval, with augmentation)",
        "precision": f"trained in {recipe['precision']}; weights are float32",
        "trained on": f"{summary['device']}, {summary['hours']:.2f} hours",
        "code": f"commit {(environment.get('commit') or 'unknown')[:8]}, run `{config['run']}`",
        "file": f"`network.keras`, {size / 1e6:.2f} MB",
        "licence": "MIT, as the code of this repository; the data set has terms of its own",
    }
    facts = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return CARD.format(name=folder.name, title=title, facts=facts, limits=_limits(config), input=_input(folder))


def _title(config: dict) -> str:
    net = architecture(config["network"])
    kind = {"resnet": "ResNet", "plain": "plain network", "vgg": "VGG"}[net.name.rstrip("0123456789")]
    return f"{kind}-{net.depth}" if kind != "plain network" else f"plain-{net.depth}"


def _input(folder: RunFolder) -> str:
    side = {"cifar": "32x32", "imagenet": "224x224", "vgg": "224x224"}[architecture(folder.config["network"]).family]
    return side


def _limits(config: dict) -> str:
    """What this network must not be taken for."""
    lines = []
    if config["scale"] != "paper":
        lines.append(
            f"- The schedule is {config['recipe']['iterations']:,} iterations where the paper's is 64,000: the error "
            "is far above the paper's."
        )
    if "JPEG" in config["data_title"]:
        lines.append(
            "- The pictures were recompressed as JPEG, which costs accuracy: not comparable with CIFAR-10 itself."
        )
    lines.append(
        "- It knows its classes and nothing else: every picture gets one of them, whatever it shows. Its probabilities "
        "are not calibrated."
    )
    lines.append("- One seed; another gives another error (results/README.md has their spread).")
    return "\n".join(lines)


CARD = """# {name}

{title} of *Deep Residual Learning for Image Recognition*, trained by this repository from scratch.

| | |
|---|---|
{facts}

## Use

    resnet-keras predict {name} PICTURE...
    resnet-keras export {name} --format onnx

```python
import resnet_keras  # knows the layers in the file
import keras

network = keras.saving.load_model("results/models/{name}/network.keras")
logits = network(pictures)  # uint8 or float [batch, height, width, 3], raw RGB in 0..255, made for {input} pixels
```

## Limits

{limits}
"""
