import threading
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from test_augment import noise

from mmnet_np.dataset import pairs
from mmnet_np.errors import ImageError, OptionError
from mmnet_np.training.augment import paper, plain, robust
from mmnet_np.training.batches import Batches
from mmnet_np.training.photos import Photos


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Seven photos of different sizes."""
    root = tmp_path_factory.mktemp("portraits")
    for folder in ("image", "mask"):
        (root / folder).mkdir()
    for k in range(7):
        photo, matte = noise(k, 40 + k, 30)
        Image.fromarray(photo).save(root / "image" / f"{k}.png")
        Image.fromarray(matte).save(root / "mask" / f"{k}.png")
    return pairs(root)


def bits(batches, *epochs):
    return [
        image.tobytes() + truth.tobytes()
        for number in epochs
        for image, truth in batches.epoch(number)
    ]


@pytest.mark.parametrize("augment", [paper, robust])
def test_bits_do_not_depend_on_threads_memory_or_history(data, augment):
    options = {"size": 32, "batch": 2, "seed": 5, "augment": augment}
    with Batches(data, workers=0, **options) as batches:
        expected = bits(batches, 0, 1, 2)
    assert len(set(expected)) == 9
    with Batches(data, workers=1, ahead=1, **options) as batches:
        assert bits(batches, 0, 1, 2) == expected
    with Batches(data, workers=3, ahead=4, limit=0, **options) as batches:
        assert bits(batches, 0, 1, 2) == expected
        assert batches.photos.kept == 0
    # Resumed: the same from an epoch on, whatever went before.
    with Batches(data, workers=3, **options) as batches:
        for _ in batches.epoch(7):
            break
        assert bits(batches, 2, 1) == expected[6:] + expected[3:6]
    with Batches(data, workers=2, **{**options, "seed": 6}) as batches:
        assert not set(bits(batches, 0)) & set(expected)


def test_a_photo_is_never_shown_twice_alike(data):
    with Batches(data[:1], 16, 1, seed=3, augment=paper, workers=0, repeat=3) as batches:
        shown = bits(batches, 0, 1, 2)
    assert len(set(shown)) == 9


def test_slow_and_quick_samples_keep_their_places(data):
    """The first sample of each batch takes longest, so threads finish in another order."""
    lock, count = threading.Lock(), [0]

    def marked(rng, photo, matte, size, other):
        with lock:
            count[0] += 1
            late = count[0] % 4 == 1
        time.sleep(0.02 if late else 0)
        return plain(rng, photo, matte, size)

    with Batches(data, 16, 4, workers=4, augment=marked, repeat=4) as batches:
        order = batches.order(0)
        for first, (image, _) in zip(range(0, 28, 4), batches.epoch(0), strict=True):
            for slot in range(4):
                expected = plain(None, batches.photos[order[first + slot]], None, 16)[0]
                assert image[slot].tobytes() == expected.tobytes()


@pytest.mark.parametrize("repeat", [1, 3])
def test_an_epoch_shows_all_but_the_last_incomplete_batch(data, repeat):
    with Batches(data, 16, 4, repeat=repeat, workers=0) as batches:
        orders = [batches.order(number) for number in range(30)]
        assert len(batches) == 7 * repeat // 4
        assert {len(order) for order in orders} == {len(batches) * 4}
        for order in orders:
            assert np.bincount(order, minlength=7).max() <= repeat
        assert len({order.tobytes() for order in orders}) > 25
        # Another photo is left out each time.
        assert np.bincount(np.concatenate(orders), minlength=7).min() > 0
        shapes = [(i.shape, t.shape, i.dtype, t.dtype) for i, t in batches.epoch(0)]
        single = np.dtype(np.float32)
        assert shapes == [((4, 16, 16, 3), (4, 16, 16), single, single)] * len(batches)


def test_no_more_is_made_than_asked_for(data):
    count = []

    def counted(rng, photo, matte, size, other):
        count.append(1)
        return plain(rng, photo, matte, size)

    options = {"size": 16, "batch": 2, "augment": counted, "repeat": 10}
    with Batches(data, workers=3, ahead=2, **options) as batches:
        epoch = batches.epoch(0)
        next(epoch)
        time.sleep(0.3)
        assert len(count) == 3 * 2  # one in use, two waiting
        next(epoch)
        time.sleep(0.3)
        assert len(count) == 4 * 2
        epoch.close()
        time.sleep(0.2)
        assert len(count) <= 4 * 2
    count.clear()
    with Batches(data, workers=0, ahead=2, **options) as batches:
        next(batches.epoch(0))
        assert len(count) == 2


@pytest.mark.parametrize("way", ["epoch", "pool", "interrupt"])
def test_leaving_early_drops_the_queue(data, way):
    """122 samples asked for in advance would take three seconds on two threads."""
    count = []

    def slow(rng, photo, matte, size, other):
        count.append(1)
        time.sleep(0.05)
        return plain(rng, photo, matte, size)

    before, start = threading.active_count(), time.monotonic()
    batches = Batches(data, 16, 2, augment=slow, workers=2, ahead=60, repeat=20)
    epoch = batches.epoch(0)
    if way == "interrupt":  # in the training step, between two batches
        with pytest.raises(KeyboardInterrupt), batches:
            for _ in epoch:
                raise KeyboardInterrupt
    else:
        next(epoch)
    if way == "epoch":
        epoch.close()
        time.sleep(0.3)  # what is dropped is not begun, though the threads live on
        assert len(count) < 12
    batches.close()
    assert time.monotonic() - start < 2
    assert len(count) < 12
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_sample_arrives_and_nothing_hangs(data, workers):
    def broken(rng, photo, matte, size, other):
        if other().shape[0] == 43:
            raise ZeroDivisionError
        return plain(rng, photo, matte, size)

    with Batches(data, 16, 2, augment=broken, workers=workers, repeat=20) as batches:
        with pytest.raises(ZeroDivisionError):
            bits(batches, 0)
        batches.augment = plain
        assert len(bits(batches, 1)) == 70  # the next epoch works


def test_a_broken_photo_is_named(data, tmp_path):
    for folder in ("image", "mask"):
        (tmp_path / folder).mkdir()
    for k in range(3):
        photo, matte = noise(k, 40, 30)
        Image.fromarray(photo).save(tmp_path / "image" / f"{k}.png")
        Image.fromarray(matte[: 40 if k else 39]).save(tmp_path / "mask" / f"{k}.png")
    with (
        Batches(pairs(tmp_path), 16, 3, augment=plain) as batches,
        pytest.raises(ImageError, match=r"0\.png: is 30 x 40, but its mask 30 x 39"),
    ):
        bits(batches, 0)
    (tmp_path / "image" / "0.png").write_bytes(b"no image")
    with (
        Batches(pairs(tmp_path), 16, 3, augment=plain) as batches,
        pytest.raises(ImageError, match=r"0\.png: is no image"),
    ):
        bits(batches, 0)


def test_photos_are_decoded_once_as_far_as_memory_reaches(data, monkeypatch):
    from mmnet_np.training import photos

    opened = []
    real = photos.open_photo
    monkeypatch.setattr(photos, "open_photo", lambda path: opened.append(path.name) or real(path))
    kept = Photos(data, limit=2 * 41 * 30 * 4)
    first = [kept[k].tobytes() for k in range(7)]
    assert kept.kept == (40 + 41) * 30 * 4
    assert [kept[k].tobytes() for k in range(7)] == first
    assert Counter(opened) == {f"{k}.png": 1 if k < 2 else 2 for k in range(7)}
    with pytest.raises(ValueError, match="read-only"):
        kept[0][:] = 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch": 0}, "batch is 0; it must be 1 or more"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"workers": -1}, "workers is -1; it must be 0 or more"),
        ({"repeat": 0}, "repeat is 0; it must be 1 or more"),
        ({"batch": 8}, "an epoch has 7 samples, less than a batch of 8"),
    ],
)
def test_numbers_that_make_no_sense(data, options, sentence):
    with pytest.raises(OptionError) as caught:
        Batches(data, **{"size": 16, "batch": 2, **options})
    assert str(caught.value) == sentence
