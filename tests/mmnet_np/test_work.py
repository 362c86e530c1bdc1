"""Photos through the worker: order, threads, memory, what is written when it is stopped."""

import gc
import io
import sys
import threading
import weakref
from contextlib import closing
from pathlib import Path

import pytest
from fake_model import FakeModel
from hostile_images import encoded, scene
from PIL import Image

from mmnet_np import picture, work
from mmnet_np.errors import ImageError
from mmnet_np.jobs import Job
from mmnet_np.picture import Style
from mmnet_np.work import Worker


@pytest.fixture
def jobs(tmp_path):
    """Eight photos, the third and the sixth being none."""
    made = []
    for index in range(8):
        source = tmp_path / f"{index}.png"
        source.write_bytes(b"no image" if index in (2, 5) else encoded("PNG"))
        made.append(Job(str(source), tmp_path / "out" / f"{index}.png"))
    return made


@pytest.mark.parametrize("threads", [1, 3, 20])
def test_outcomes_come_in_order(jobs, threads):
    outcomes = list(Worker(FakeModel(), Style("cutout")).run(jobs, threads))
    assert [outcome.job for outcome in outcomes] == jobs
    for index, (job, failure) in enumerate(outcomes):
        assert job.target.exists() == (failure is None) == (index not in (2, 5))
    assert outcomes[2].failure.startswith(f"{jobs[2].source}: is no image")


def test_results_do_not_depend_on_threads(jobs):
    for threads in (1, 4):
        worker = Worker(FakeModel(), Style("cutout"), overwrite=True)
        list(worker.run(jobs, threads))
        made = {job.target.name: job.target.read_bytes() for job in jobs if job.target.exists()}
        if threads == 1:
            expected = made
    assert made == expected


def test_each_photo_is_freed_before_the_next(jobs, monkeypatch):
    """Also where writing it failed: of a 12-megapixel photo 96 MB would stay."""
    alive, watched = [], []

    def watching(function):
        def call(*arguments, **options):
            gc.collect()
            alive.append([kind for kind, image in watched if image() is not None])
            result = function(*arguments, **options)
            watched.append((function.__name__, weakref.ref(result)))
            return result

        return call

    monkeypatch.setattr(work, "open_photo", watching(work.open_photo))
    monkeypatch.setattr(picture, "foreground", watching(picture.foreground))
    monkeypatch.setattr(picture, "cutout", watching(picture.cutout))
    save = work.save_image

    def failing(image, path, **options):
        gc.collect()
        alive.append([kind for kind, image in watched if image() is not None])
        if path.name.startswith("1"):
            raise ImageError("the disk is full")
        save(image, path, **options)

    monkeypatch.setattr(work, "save_image", failing)
    outcomes = list(Worker(FakeModel(), Style("cutout")).run([*jobs[:2], jobs[3]], 1))
    assert [outcome.failure for outcome in outcomes] == [None, "the disk is full", None]
    assert alive == [[], ["open_photo"], ["foreground"], ["cutout"]] * 3


@pytest.mark.parametrize(("pixels", "together"), [(2 * 48 * 32, 2), (1, 1), (10**9, 4)])
def test_only_so_many_pixels_are_in_the_work_at_a_time(jobs, monkeypatch, pixels, together):
    monkeypatch.setattr(work, "_PIXELS", pixels)
    monkeypatch.setattr(work, "available_memory", lambda: None)
    lock, enough, inside, most = threading.Lock(), threading.Event(), 0, 0

    class Meeting(FakeModel):
        def predict_uint8(self, image, **options):
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
                if most >= together:
                    enough.set()
            assert enough.wait(60)  # for as many as there may be
            with lock:
                inside -= 1
            return super().predict_uint8(image)

    sound = [job for index, job in enumerate(jobs) if index not in (2, 5)]
    outcomes = list(Worker(Meeting(), Style("alpha")).run(sound, 4))
    assert not [failure for _, failure in outcomes if failure]
    assert most == together


@pytest.mark.parametrize(("memory", "pixels"), [(None, 25e6), (2**30, 25e6), (8 * 10**9, 100e6)])
def test_with_more_memory_more_pixels_are(monkeypatch, memory, pixels):
    monkeypatch.setattr(work, "available_memory", lambda: memory)
    assert Worker(FakeModel(), Style("alpha"))._room._size == pixels


def test_a_photo_beyond_all_memory_is_refused_before_it_is_decoded(jobs, monkeypatch):
    monkeypatch.setattr(work, "available_memory", lambda: 20 * 48 * 32 - 1)
    ((_, failure),) = Worker(FakeModel(), Style("alpha")).run(jobs[:1], 1)
    assert failure == (
        f"{jobs[0].source}: has 1,536 pixels, but there is memory for no more than 1,535"
    )
    assert not jobs[0].target.exists()


@pytest.mark.parametrize("stop", ["close", "interrupt"])
def test_when_stopped_no_photo_is_begun_and_all_files_are_whole(jobs, stop):
    begun = threading.Event()
    Path(jobs[1].source).write_bytes(encoded("PNG", scene(size=(9, 9))))

    class Slow(FakeModel):
        def predict_uint8(self, image, **options):
            if image.size == (9, 9):
                begun.set()
                assert stopped.wait(60)
            return super().predict_uint8(image)

    worker = Worker(Slow(), Style("cutout"))
    stopped = worker._stopped
    outcomes = worker.run([jobs[index] for index in (0, 1, 3, 4, 6, 7)], 2)
    assert next(outcomes).failure is None
    assert begun.wait(60)
    if stop == "close":
        outcomes.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            outcomes.throw(KeyboardInterrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("photo")]
    written = list(jobs[0].target.parent.iterdir())
    assert jobs[0].target in written
    assert jobs[1].target not in written  # it had still to be written when all was stopped
    assert not [path for path in written if path.name.startswith(".")]


def test_a_bug_is_raised_at_its_turn(jobs):
    class Broken(FakeModel):
        def predict_uint8(self, image, **options):
            raise ZeroDivisionError

    outcomes = Worker(Broken(), Style("cutout")).run(jobs, 2)
    with closing(outcomes), pytest.raises(ZeroDivisionError):
        next(outcomes)


class Streams:
    """Standard input and output of bytes."""

    def __init__(self, data=b""):
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_standard_input_to_standard_output(monkeypatch, suffix):
    monkeypatch.setattr(sys, "stdin", Streams(encoded("JPEG")))
    monkeypatch.setattr(sys, "stdout", Streams())
    worker = Worker(FakeModel(), Style("cutout"), suffix=suffix)
    assert [failure for _, failure in worker.run([Job("-", None)], 1)] == [None]
    with Image.open(sys.stdout.buffer) as result:
        assert result.mode == "RGBA"
        assert result.size == scene().size


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "standard input: is empty"),
        (b"no image", "standard input: is no image, or of a kind Pillow cannot read"),
        (encoded("PNG")[:100], "standard input: is damaged or truncated"),
        (None, "standard input: is empty"),
    ],
)
def test_standard_input_that_is_no_photo(monkeypatch, data, said):
    monkeypatch.setattr(sys, "stdin", None if data is None else Streams(data))
    monkeypatch.setattr(sys, "stdout", Streams())
    ((_, failure),) = Worker(FakeModel(), Style("cutout")).run([Job("-", None)], 1)
    assert failure.startswith(said)
    assert not sys.stdout.buffer.getvalue()


def test_standard_input_without_an_end(monkeypatch):
    class Endless:
        def read(self, count):
            return b"\0" * count

    class Stream:
        buffer = Endless()

    monkeypatch.setattr(work, "MAX_BYTES", 2**22)
    monkeypatch.setattr(sys, "stdin", Stream())
    ((_, failure),) = Worker(FakeModel(), Style("cutout")).run([Job("-", Path("x.png"))], 1)
    assert failure == "standard input: has more than 4,194,304 bytes"


def test_standard_output_that_is_closed(monkeypatch, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    monkeypatch.setattr(sys, "stdout", None)
    ((_, failure),) = Worker(FakeModel(), Style("alpha")).run(
        [Job(str(tmp_path / "a.png"), None)], 1
    )
    assert failure == "standard output: is closed"
