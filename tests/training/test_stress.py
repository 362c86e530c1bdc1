import numpy as np
import pytest
from test_augment import noise, person

from mmnet_np.errors import ImageError, OptionError
from mmnet_np.training import stress
from mmnet_np.training.stress import CONDITIONS

PHOTO, MATTE = person(160, 120)
GEOMETRIC = [name for name in CONDITIONS if name.split()[0] in ("scale", "shift", "rotation")]


def under(name, photo=PHOTO, matte=MATTE):
    photo, matte = stress.stress(photo, matte, name)
    return photo.astype(int), matte.astype(int)


def test_the_conditions_asked_for_are_there():
    wanted = {f"scale {s}" for s in ("0.4", "0.6", "0.8", "1.0", "1.3")}
    wanted |= {"plain", "shift left", "shift right", "rotation 30", "low light", "grey", "jpeg 30"}
    assert wanted | {"blur 2x"} <= set(CONDITIONS)
    assert next(iter(CONDITIONS)) == "plain"


@pytest.mark.parametrize("name", CONDITIONS)
def test_same_size_same_bits_and_nothing_written_to(name):
    photo, matte = noise(1, 90, 70)
    photo.setflags(write=False)
    matte.setflags(write=False)
    first, second = stress.stress(photo, matte, name), stress.stress(photo, matte, name)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]
    assert (first[0].shape, first[1].shape) == (photo.shape, matte.shape)
    assert first[0].dtype == first[1].dtype == np.uint8


def test_scale_one_is_plain():
    photo, matte = noise(2, 90, 70)
    for name in ("plain", "scale 1.0"):
        found = stress.stress(photo, matte, name)
        assert (found[0] == photo).all()
        assert (found[1] == matte).all()


@pytest.mark.parametrize("name", GEOMETRIC)
def test_the_matte_follows_and_there_is_no_second_person(name):
    """A white person before black: grain aside, colour is alpha everywhere."""
    photo, matte = under(name)
    assert np.abs(photo - matte[..., None]).max() <= 25
    assert np.abs(photo - matte[..., None]).mean() < 2


@pytest.mark.parametrize("scale", [0.4, 0.6, 0.8])
def test_scale_is_that_of_the_person(scale):
    area = under(f"scale {scale}")[1].sum() / MATTE.sum()
    assert area == pytest.approx(scale**2, rel=0.03)
    assert under(f"scale {scale}")[1][-1].any()  # still cut by the frame


def test_a_larger_person_is_cut_by_the_frame_above():
    matte = under("scale 1.3")[1]
    assert matte.sum() > 1.2 * MATTE.sum()
    assert (matte[-1] > 127).sum() > 1.25 * (MATTE[-1] > 127).sum()


@pytest.mark.parametrize(
    ("name", "axis", "step"), [("shift left", 1, -30), ("shift right", 1, 30),
                               ("shift down", 0, 40)]
)  # fmt: skip
def test_shifts(name, axis, step):
    kept = slice(None, -step) if step > 0 else slice(-step, None)
    target = slice(step, None) if step > 0 else slice(None, step)
    before, after = (np.moveaxis(a, axis, 0) for a in (MATTE.astype(int), under(name)[1]))
    # A quarter of the steps between pixels is not quite a whole number of them.
    assert np.abs(after[target] - before[kept]).mean() < 2
    assert not after[: step - 1 if step > 0 else 0].any()


def test_rotation_is_clockwise_and_keeps_sizes():
    """A line upwards from the centre leans to the right afterwards."""
    matte = np.zeros((161, 121), np.uint8)
    matte[30:80, 58:63] = 255
    turned = under("rotation 30", np.zeros((161, 121, 3), np.uint8), matte)[1]
    assert turned.sum() == pytest.approx(int(matte.sum()), rel=0.02)
    y, x = np.nonzero(turned > 127)
    middle = np.array([y.mean() - 80, x.mean() - 60])
    assert middle == pytest.approx([-25.5 * np.cos(np.pi / 6), 25.5 * np.sin(np.pi / 6)], abs=0.7)
    other = under("rotation -30", np.zeros((161, 121, 3), np.uint8), matte)[1]
    assert np.abs(other - turned[:, ::-1]).max() <= 2


def test_conditions_of_light_and_file_leave_the_matte():
    photo, matte = noise(3, 200, 150)
    smooth = np.repeat(np.repeat(photo[::20, ::15], 20, axis=0), 15, axis=1)
    results = {}
    for name in ("low light", "grey", "jpeg 30", "blur 2x"):
        found = stress.stress(smooth, matte, name)
        assert (found[1] == matte).all()
        results[name] = found[0].astype(int)
    assert results["low light"].mean() == pytest.approx(0.39 * smooth.mean(), rel=0.03)
    assert (results["grey"] == results["grey"][..., :1]).all()
    assert 0 < np.abs(results["jpeg 30"] - smooth).mean() < 25
    edges = np.abs(np.diff(results["blur 2x"], axis=1)).max()
    assert edges < np.abs(np.diff(smooth.astype(int), axis=1)).max() / 2
    assert results["blur 2x"].mean() == pytest.approx(smooth.mean(), abs=2)


def test_an_unknown_condition():
    with pytest.raises(OptionError, match=r"there is no stress condition 'rain'; it must be one of "
                       r"plain, scale 0\.4, "):  # fmt: skip
        stress.stress(PHOTO, MATTE, "rain")


@pytest.mark.parametrize("name", ["plain", "scale 0.4", "grey"])
def test_arrays_that_are_no_photo(name):
    with pytest.raises(ImageError, match=r"the matte is \(120, 160\) uint8"):
        stress.stress(PHOTO, MATTE.T.copy(), name)
