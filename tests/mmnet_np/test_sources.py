"""Which photos are found: files, folders, globs, lists, standard input, and what gives none."""

import io
import os
import sys
from pathlib import Path

import pytest

from mmnet_np.errors import ImageError
from mmnet_np.sources import Source, find, listed


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder of photos and other things, and the current folder beside it."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "photos/b.jpg", "photos/a.PNG", "photos/notes.txt", "photos/.hidden.jpg", "photos/x.heic",
        "photos/trip/day 2/c.tif", "photos/trip/d.webp", "photos/.cache/e.jpg",
        "photos/a-cutout.png", "photos/b-alpha.png", "photos/my-alpha.jpg",
        "photos/trip/notes-cutout.png",
    ):  # fmt: skip
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


FOUND = [
    Source("photos/a.PNG", ""),
    Source("photos/b.jpg", ""),
    Source("photos/my-alpha.jpg", ""),
    Source("photos/x.heic", ""),
    Source("photos/trip/d.webp", "trip"),
    Source("photos/trip/notes-cutout.png", "trip"),
    Source("photos/trip/day 2/c.tif", "trip/day 2"),
]


def found(*arguments, lists=(), **options):
    """Give sources and complaints."""
    complaints = []
    return find(arguments, lists, complaints.append, **options), complaints


@pytest.mark.parametrize("name", ["photos", "photos/", "./photos"])
def test_a_folder_is_searched_in_order_without_what_is_hidden_or_was_made(tree, name):
    assert found(name) == (FOUND, [])


def test_what_was_made_with_an_ending_of_ones_own_is_left_out_too(tree):
    Path("photos/b_cut.png").touch()
    assert found("photos", endings=("-cutout", "-alpha", "_cut", "")) == (FOUND, [])


def test_a_folder_is_not_searched_where_outputs_go(tree):
    for name in ("photos/trip", "./photos/trip/", str(tree / "photos" / "trip")):
        assert found("photos", without=name) == (FOUND[:4], [])
    assert found("photos", without="photos") == (FOUND, [])


def test_links_to_folders_in_a_folder_are_not_followed(tree):
    Path("photos/again").symlink_to(tree / "photos")
    Path("photos/loop").symlink_to("loop")
    assert found("photos") == (FOUND, [])
    Path("link").symlink_to("photos")
    assert [source.below for source in found("link")[0]] == [source.below for source in FOUND]


def test_files_and_what_is_not_there_are_taken_as_they_are(tree):
    names = ["photos/notes.txt", "missing.jpg", "photos/.hidden.jpg", ""]
    assert found(*names) == ([Source(name) for name in names], [])


def test_each_photo_is_found_once(tree):
    again = ["photos/trip/../b.jpg", "photos", str(tree / "photos" / "a.PNG"), "-", "-"]
    sources, complaints = found(*again)
    assert sources == [Source("photos/trip/../b.jpg"), FOUND[0], *FOUND[2:], Source("-")]
    assert not complaints


def test_globs(tree):
    assert found("photos/*.[jP]*")[0] == [
        Source("photos/a.PNG"), Source("photos/b.jpg"), Source("photos/my-alpha.jpg"),
    ]  # fmt: skip
    assert found("photos/**/*.tif")[0] == [Source("photos/trip/day 2/c.tif")]
    assert found("pho*s") == (FOUND, [])
    Path("photos/[x].jpg").touch()
    assert found("photos/[x].jpg") == ([Source("photos/[x].jpg")], [])
    assert found("*.gif") == ([], ["*.gif: there is no such file, nor any that it matches"])


@pytest.mark.parametrize("as_argument", [True, False])
@pytest.mark.parametrize(
    "content", [b"photos/b.jpg\nphotos/trip\n", b"\xef\xbb\xbfphotos/b.jpg\r\n\r\nphotos/trip",
                b"photos/b.jpg\0photos/trip\0"],
)  # fmt: skip
def test_lists(tree, content, as_argument):
    Path("list.txt").write_bytes(content)
    trip = [Source("photos/trip/d.webp", ""), Source("photos/trip/notes-cutout.png", ""),
            Source("photos/trip/day 2/c.tif", "day 2")]  # fmt: skip
    expected = [Source("photos/b.jpg"), *trip]
    if as_argument:
        assert found("@list.txt") == (expected, [])
    else:
        assert found(lists=["list.txt"]) == (expected, [])


def test_a_name_in_a_list_is_never_standard_input_or_another_list(tree):
    Path("list.txt").write_text("-\n@list.txt\n")
    assert found("@list.txt") == ([Source("./-"), Source("@list.txt")], [])


def test_a_file_that_begins_with_at_is_a_photo(tree):
    Path("@me.jpg").touch()
    assert found("@me.jpg") == ([Source("@me.jpg")], [])


def test_names_of_any_bytes(tree):
    odd = os.fsdecode(b"photos/caf\xe9 \n.jpg")
    Path("list.txt").write_bytes(os.fsencode(odd) + b"\0")
    assert found("@list.txt") == ([Source(odd)], [])
    Path(odd).touch()
    assert Source(odd, "") in found("photos")[0]


def test_standard_input_as_a_list(tree, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"photos/b.jpg\n")))
    assert found(lists=["-"]) == ([Source("photos/b.jpg")], [])
    monkeypatch.setattr(sys, "stdin", None)
    assert found(lists=["-"]) == ([], ["standard input: holds no name of a photo"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "cannot be read (No such file or directory)"),
        (Path.mkdir, "is a folder, not a list of names"),
        (os.mkfifo, "holds no name of a photo"),  # nobody writes to it
        (Path.touch, "holds no name of a photo"),
        (lambda path: path.symlink_to(path), "cannot be read (Too many levels of symbolic links)"),
        (lambda path: path.symlink_to("/dev/zero"), "is no list of names: it has more than"),
    ],
)
def test_lists_that_are_none(tmp_path, make, said):
    path = tmp_path / "list"
    make(path)
    with pytest.raises(ImageError) as caught:
        listed(str(path))
    assert str(caught.value).startswith(f"{path}: {said}")
    assert found(f"@{path}") == ([], [str(caught.value)])


def test_a_list_through_a_pipe():
    reading, writing = os.pipe()
    os.write(writing, b"a.jpg\nb.jpg\n")
    os.close(writing)
    assert listed(f"/dev/fd/{reading}") == ["a.jpg", "b.jpg"]
    os.close(reading)


def test_folders_without_photos(tree):
    Path("empty/inside").mkdir(parents=True)
    Path("empty/text.txt").touch()
    assert found("empty") == ([], ["empty: there is no photo in it"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read(tree):
    Path("photos/trip").chmod(0)
    sources, complaints = found("photos")
    Path("photos/trip").chmod(0o755)
    assert sources == FOUND[:4]
    assert complaints == ["photos/trip: Permission denied"]


def test_a_folder_that_goes_away_meanwhile(tree, monkeypatch):
    walk = os.walk

    def vanishing(root, onerror):
        onerror(FileNotFoundError(2, "No such file or directory", "photos/trip"))
        return walk(root)

    monkeypatch.setattr(os, "walk", vanishing)
    assert found("photos") == (FOUND, ["photos/trip: No such file or directory"])
