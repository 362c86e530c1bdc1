"""Where outputs go, and which cannot."""

from pathlib import Path

import pytest

from mmnet_np.jobs import Job, Naming, is_folder, plan
from mmnet_np.sources import Source

CUTOUT = Naming(None, False, "-cutout", ".png", transparent=True)


def planned(naming, *sources):
    """Give jobs, the number of skipped photos, and complaints."""
    complaints = []
    jobs, skipped = plan(sources, naming, complaints.append)
    return jobs, skipped, complaints


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def targets(naming, *sources):
    jobs, skipped, complaints = planned(naming, *sources)
    assert not complaints
    assert not skipped
    assert [job.source for job in jobs] == [source.path for source in sources]
    return [None if job.target is None else str(job.target) for job in jobs]


PHOTOS = (Source("x/a.jpg"), Source("y/b.c.tif", ""), Source("y/z/d.jpg", "z"), Source("-"))


def test_beside_the_photo():
    assert targets(CUTOUT, *PHOTOS) == ["x/a-cutout.png", "y/b.c-cutout.png", "y/z/d-cutout.png",
                                        None]  # fmt: skip
    named = CUTOUT._replace(ending="_cut", suffix=".webp")
    assert targets(named, *PHOTOS[:1]) == ["x/a_cut.webp"]


def test_in_a_folder_with_the_same_tree():
    naming = CUTOUT._replace(out="out", folder=True)
    assert targets(naming, *PHOTOS) == [
        "out/a-cutout.png", "out/b.c-cutout.png", "out/z/d-cutout.png", "out/stdin-cutout.png",
    ]  # fmt: skip


def test_in_a_file_or_on_standard_output():
    assert targets(CUTOUT._replace(out="me.webp"), PHOTOS[0]) == ["me.webp"]
    assert targets(CUTOUT._replace(out="me.webp"), PHOTOS[3]) == ["me.webp"]
    assert targets(CUTOUT._replace(out="-"), PHOTOS[0]) == [None]


@pytest.mark.parametrize(
    ("out", "sources", "folder"),
    [
        (None, PHOTOS, False),
        ("-", PHOTOS[:1], False),
        ("new.png", PHOTOS[:1], False),
        ("new/", PHOTOS[:1], True),
        ("there", PHOTOS[:1], True),
        ("new", PHOTOS[:2], True),
        ("new", PHOTOS[1:2], True),  # found in a folder, so there could have been more
    ],
)
def test_what_is_a_folder(out, sources, folder):
    Path("there").mkdir()
    assert is_folder(out, sources) == folder


def test_existing_outputs():
    Path("x").mkdir()
    Path("x/a-cutout.png").touch()
    said = "x/a-cutout.png: exists, give --overwrite to replace it"
    assert planned(CUTOUT, *PHOTOS[:2]) == ([Job("y/b.c.tif", Path("y/b.c-cutout.png"))], 0, [said])
    assert len(planned(CUTOUT._replace(overwrite=True), *PHOTOS[:2])[0]) == 2
    jobs, skipped, complaints = planned(CUTOUT._replace(skip_existing=True), *PHOTOS[:2])
    assert (len(jobs), skipped, complaints) == (1, 1, [])


def test_a_photo_is_never_an_output():
    Path("a.png").touch()
    Path("b.png").touch()
    Path("link.png").symlink_to("a.png")
    bare = CUTOUT._replace(ending="", overwrite=True)
    assert planned(bare, Source("a.png"))[2] == ["a.png: is the photo itself"]
    assert planned(bare, Source("a.jpg"), Source("a.png"))[2] == [
        "a.png: is another of the photos", "a.png: is the photo itself",
    ]  # fmt: skip
    through = bare._replace(out="link.png")
    assert planned(through, Source("a.png"))[2] == ["link.png: is the photo itself"]
    assert not planned(through, Source("b.png"))[2]


def test_two_photos_with_one_output():
    jobs, _, complaints = planned(CUTOUT, Source("a.jpg"), Source("a.tif"), Source("b.jpg"))
    assert [job.source for job in jobs] == ["a.jpg", "b.jpg"]
    assert complaints == ["a.tif: its output a-cutout.png is that of a.jpg"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"out": "me.jpg"}, "me.jpg: JPEG cannot hold transparency, use .png"),
        ({"out": "me.gif"}, "me.gif: the name must end in .png, .tif, .tiff, .webp, .jpg, .jpeg"),
        ({"out": "me"}, "me: is no folder; a new one's name must end in /, a file's in .png"),
        ({"out": "no/me.png"}, "no/me.png: there is no such folder"),
        ({"out": "-", "suffix": ".jpg"}, "output.jpg: JPEG cannot hold transparency, use .png"),
    ],
)
def test_impossible_outputs(changes, said):
    assert planned(CUTOUT._replace(**changes), Source("a.png")) == ([], 0, [said])


def test_names_are_fit_to_print():
    assert Job("-", None).source_name() == "standard input"
    assert Job("a\nb", None).source_name() == "a\\nb"
