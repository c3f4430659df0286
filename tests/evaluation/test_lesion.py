"""What a lesion must and must not change."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from resnet_keras import build  # noqa: E402
from resnet_keras.evaluation import lesion  # noqa: E402
from resnet_keras.evaluation.accuracy import logits, top_error  # noqa: E402

SHAPE = (8, 8, 3)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (24, *SHAPE)).astype(np.uint8)


def network(name, **options):
    return build(name, classes=4, input_shape=SHAPE, **options)


def silence(block):
    """Make the block's residual branch zero."""
    for part in (block.bns[-1].gamma, block.bns[-1].beta):
        part.assign(np.zeros(part.shape))


@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_leaving_out_a_silent_block_changes_nothing_and_another_does(images, shortcut):
    net = network("resnet14", shortcut=shortcut)
    silent = (1, 2)  # the last block of stage 1 and the first of stage 2
    for number in silent:
        silence(net.blocks[number])
    whole = logits(net, images)
    for number, (case, chain) in enumerate(lesion.lesioned(net)):
        if case["lesion"] == "delete":
            same = np.allclose(lesion.logits(chain, images), whole, rtol=1e-4, atol=1e-4)
            assert same == (number in silent), case


def test_a_plain_block_that_keeps_the_shape_is_cut_out(images):
    long, short = network("plain14"), network("plain8")
    kept = [long.blocks[0], long.blocks[2], long.blocks[4]]
    for theirs, ours in zip([*short.chain()[:4], *short.blocks], [*long.chain()[:4], *kept], strict=True):
        theirs.set_weights(ours.get_weights())
    short.top[-1].set_weights(long.top[-1].get_weights())
    chain = long.chain()
    for number in (5, 3, 1):  # the second block of each stage
        chain = lesion.without(chain, long.chain().index(long.blocks[number]))
    np.testing.assert_allclose(lesion.logits(chain, images), logits(short, images), rtol=1e-4, atol=1e-4)


def test_swapping_twice_restores_and_once_does_not(images):
    net = network("resnet20")
    chain, whole = net.chain(), logits(net, images)
    place = chain.index(net.blocks[1])
    once = lesion.swapped(chain, place)
    assert not np.allclose(lesion.logits(once, images), whole, rtol=1e-4)
    assert lesion.swapped(once, place) == chain
    np.testing.assert_allclose(lesion.logits(chain, images), whole, rtol=1e-4, atol=1e-4)


def test_every_block_is_left_out_once_and_equal_neighbours_are_swapped():
    cases = [case for case, _ in lesion.lesioned(network("plain20"))]
    deleted = [case for case in cases if case["lesion"] == "delete"]
    assert [case["block"] for case in deleted] == list(range(1, 10))
    assert [case["place"] for case in deleted if case["grows"]] == ["stage2_block1", "stage3_block1"]
    swapped = [case["place"] for case in cases if case["lesion"] == "swap"]
    assert swapped == ["stage1_block1", "stage1_block2", "stage2_block2", "stage3_block2"]


def test_the_first_row_is_the_networks_own_error(images):
    net, labels = network("resnet8"), np.arange(24, dtype=np.int32) % 4
    before = [np.array(variable) for variable in net.variables]
    rows = lesion.lesions(net, images, labels)
    assert rows[0]["lesion"] == "none"
    assert rows[0]["error"] == pytest.approx(top_error(logits(net, images), labels))
    assert len({tuple(row) for row in rows}) == 1 and len(rows) == 1 + 3
    assert all(np.array_equal(old, np.array(new)) for old, new in zip(before, net.variables, strict=True))
