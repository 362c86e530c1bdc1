"""Many photos at once: threads, processes, a Dask cluster, and a model that travels."""

import copy
import pickle
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hostile_images import encoded, scene
from PIL import Image
from random_weights import random_weights

import mmnet_np
from mmnet_np import many
from mmnet_np.errors import ImageError, MMNetError, OptionError
from mmnet_np.spec import Spec
from mmnet_np.weights import store


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "w.h5"
    store.save(path, random_weights(Spec(0.5, 32)))
    made = mmnet_np.load(path, backend="numpy")
    path.unlink()  # what travels needs no file
    return made


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Paths of photos of different sizes."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for index in range(6):
        paths.append(folder / f"{index}.png")
        paths[-1].write_bytes(encoded("PNG", scene(size=(20 + index, 30))))
    return paths


@pytest.fixture(scope="module")
def expected(model, photos):
    return [model.predict(path) for path in photos]


def same(ours, theirs):
    ours = list(ours)
    return [a.tobytes() for a in ours] == [b.tobytes() for b in theirs] and all(
        a.shape == b.shape and a.dtype == b.dtype for a, b in zip(ours, theirs, strict=True)
    )


# One photo in every form


def test_paths_images_and_arrays_give_the_same(model, photos):
    image = Image.open(photos[0]).convert("RGB")
    forms = [str(photos[0]), photos[0], image, np.asarray(image)]
    assert same(model.predict_batch(forms), [model.predict(image)] * 4)
    assert same(model.map(forms, rounded=True), [model.predict_uint8(image)] * 4)


def test_a_path_is_read_upright(model, tmp_path):
    import hostile_images

    path = tmp_path / "phone.jpg"
    path.write_bytes(encoded("JPEG", exif=hostile_images.exif(6)))
    assert model.predict(path).shape == (48, 32)


# Many


def test_a_batch_keeps_its_order(model, photos, expected):
    assert same(model.predict_batch(photos), expected)
    assert model.predict_batch([]) == []
    assert same(model.predict_batch(iter(photos)), expected)


def test_options_reach_predict(model, photos):
    unrefined = [model.predict(path, refine=False) for path in photos]
    assert same(model.predict_batch(photos, refine=False), unrefined)
    assert same(model.map(photos, refine=False, refocus=True), unrefined)


def test_map_on_threads(model, photos, expected):
    assert same(model.map(photos), expected)
    with ThreadPoolExecutor(3) as pool:
        assert same(model.map(photos, pool), expected)
        assert same(model.map(photos * 5, executor=pool, ahead=2), expected * 5)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_map_on_processes(model, photos, expected, method):
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        assert same(model.map(photos, pool), expected)
        with pytest.raises(ImageError, match=r"nobody\.jpg: cannot be read"):
            list(model.map(["nobody.jpg"], pool))


def test_map_on_a_dask_cluster(model, photos, expected):
    distributed = pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        with client.get_executor() as executor:
            assert same(model.map(photos, executor), expected)
            failed = list(model.map([photos[0], "nobody.jpg"], executor, errors="return"))
        assert str(failed[1]) == "nobody.jpg: cannot be read (No such file or directory)"
        prepared = client.run(lambda: many._made.cache_info().misses)
    assert set(prepared.values()) <= {0, 1}  # each worker made one model, however many photos
    assert sum(prepared.values()) >= 1


class Lazy(Executor):
    """Any other executor: it tells nothing of itself, and computes when it is asked."""

    def __init__(self):
        self.submitted = 0

    def submit(self, function, *arguments):
        self.submitted += 1
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


def test_map_takes_any_executor_and_any_number_of_photos(model, photos, expected):
    executor = Lazy()

    def endless():
        while True:
            yield from photos

    results = model.map(endless(), executor, ahead=4)
    assert executor.submitted == 0
    for index in range(10):
        assert next(results).tobytes() == expected[index % 6].tobytes()
        assert executor.submitted == index + 4
    results.close()
    unknown = model.map(endless(), executor)
    next(unknown)
    assert executor.submitted == 13 + many._AHEAD


def test_a_photo_that_fails(model, photos, expected):
    given = [photos[0], "nobody.jpg", photos[1]]
    with pytest.raises(ImageError, match=r"nobody\.jpg"):
        model.predict_batch(given)
    results = model.map(given)
    assert next(results).tobytes() == expected[0].tobytes()
    with pytest.raises(ImageError, match=r"nobody\.jpg"):
        next(results)
    first, failed, last = model.map(given, errors="return")
    assert isinstance(failed, MMNetError)
    assert failed.__traceback__ is None  # it would keep the photo alive
    assert same([first, last], expected[:2])


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ([4], {}, "executor is a int; it must be a concurrent.futures.Executor"),
        ([], {"ahead": 0}, "ahead is 0; it must be 1 or more"),
        ([], {"ahead": "many"}, "ahead is 'many'; it must be a whole number"),
        ([], {"errors": "ignore"}, "errors is 'ignore'; it must be 'raise' or 'return'"),
    ],
)
def test_wrong_arguments_are_named_at_once(model, photos, arguments, options, said):
    with pytest.raises(OptionError) as caught:
        model.map(photos, *arguments, **options)
    assert str(caught.value) == said


def test_threads_of_our_own_end_with_the_iterator(model, photos):
    results = model.map(photos * 10)
    next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("photo")]


# A model that travels


def test_a_model_is_made_once_a_process(model, photos, expected):
    data = pickle.dumps(model)
    again = pickle.loads(data)
    assert pickle.loads(pickle.dumps(model)) is again
    assert copy.deepcopy(model) is again
    assert again is not model
    assert repr(again) == repr(model)
    assert again.predict(photos[0]).tobytes() == expected[0].tobytes()


def test_threads_that_begin_together_make_one_model(model):
    many._made.cache_clear()
    data, found, start = pickle.dumps(model), [], threading.Barrier(4)

    def work():
        start.wait(60)
        found.append(pickle.loads(data))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in found}) == 1


def test_options_travel(weights_file):
    model = mmnet_np.load(weights_file, backend="numpy", threads=3, size=64)
    again = pickle.loads(pickle.dumps(model))
    assert (again.backend, again.threads, again.size) == ("numpy", 3, 64)


def test_an_int8_model_travels(int8_weights_file, photos):
    model = mmnet_np.load(int8_weights_file, backend="numpy", size=32, rounding="single")
    again = pickle.loads(pickle.dumps(model))
    assert (again.dtype, again.rounding) == ("int8", "single")
    assert again.predict(photos[0]).tobytes() == model.predict(photos[0]).tobytes()
