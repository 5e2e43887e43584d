"""`/v1/label`, as the page asks it."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from helpers.asking import behind_a_socket
from mnist_digits.dataset.labelling import Answer, Journal, journal
from mnist_digits.errors import DataError
from mnist_digits.recognition import Reader
from mnist_digits.serving import Settings, create_app


@contextmanager
def labelling(folder: Path, reader: Reader) -> Iterator[httpx.Client]:
    with (
        behind_a_socket(create_app(reader, Settings(label=folder))) as (host, port),
        httpx.Client(base_url=f"http://{host}:{port}/v1/label", timeout=60) as client,
    ):
        yield client


@pytest.fixture
def ask(folder: Path, reader: Reader) -> Iterator[httpx.Client]:
    with labelling(folder, reader) as client:
        yield client


def all_pictures(ask: httpx.Client) -> dict[str, dict[str, Any]]:
    """File → picture, in the order in which they are to be labelled."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        numbers = ",".join(str(one["number"]) for one in found.values())
        answer = ask.get("/next", params={"besides": numbers}).json()
        if answer["picture"] is None:
            return found
        found[answer["picture"]["file"]] = answer["picture"]


def say(ask: httpx.Client, picture: dict[str, Any], place: int, label: object, **more: Any) -> httpx.Response:
    digit = picture["digits"][place] if place >= 0 else {"box": None, "digit": None, "confidence": 0}
    body = {"box": digit["box"], "digit": digit["digit"], "confidence": digit["confidence"], "label": label}
    return ask.post(f"/pictures/{picture['number']}/answers", json=body | more)


def test_pictures_and_pages_are_read_ahead_and_the_doubtful_come_first(ask: httpx.Client):
    pictures = all_pictures(ask)
    assert set(pictures) == {*(f"hand/{label}.png" for label in (7, 5, 1, 0)), "row.png"}
    for label in (7, 5, 1, 0):
        digits = pictures[f"hand/{label}.png"]["digits"]
        assert [(one["box"], one["digit"], one["label"]) for one in digits] == [(None, label, None)]
    assert [one["digit"] for one in pictures["row.png"]["digits"]] == [3, 4, 8, 2]
    # When all are read, the order is that of doubt.
    doubts = [min(one["confidence"] for one in picture["digits"]) for picture in all_pictures(ask).values()]
    assert doubts == sorted(doubts)
    state = ask.get("/state").json()
    counts = {name: state[name] for name in ("pictures", "read", "digits", "labelled", "skipped")}
    assert counts == {"pictures": 6, "read": 6, "digits": 8, "labelled": 0, "skipped": 0}
    assert len(state["unreadable"]) == 1
    assert "broken.jpg: not a picture" in state["unreadable"][0]


def test_answers_are_kept_and_the_next_call_goes_on(ask: httpx.Client, folder: Path, reader: Reader):
    pictures = all_pictures(ask)
    assert say(ask, pictures["hand/7.png"], 0, 1).json()["labelled"] == 1
    assert say(ask, pictures["hand/5.png"], 0, "skipped").json()["skipped"] == 1
    assert say(ask, pictures["row.png"], 1, "no digit").json()["labelled"] == 2
    # A deleted box is no digit any more, and one that is drawn is.
    assert say(ask, pictures["row.png"], 2, "deleted").json()["digits"] == 7
    state = say(ask, pictures["row.png"], 3, 2, box=[400, 60, 30, 40]).json()
    assert (state["digits"], state["labelled"]) == (8, 3)
    standing = {(one.file, one.box): one for one in Journal(folder).standing()}
    assert len(standing) == 5
    assert standing["hand/7.png", None] == Answer("hand/7.png", 1, None, 1, 7, standing["hand/7.png", None].confidence)
    with labelling(folder, reader) as again:
        left = all_pictures(again)
        assert set(left) == {"hand/1.png", "hand/0.png", "row.png"}
        assert [one["label"] for one in left["row.png"]["digits"]] == [None, "no digit", None, 2]
        assert again.get("/state").json()["labelled"] == 3
        skipped = again.get("/next", params={"turn": "skipped"}).json()["picture"]
        assert skipped["file"] == "hand/5.png"
        last = again.get("/next", params={"turn": "done"}).json()["picture"]
        assert last["file"] == "row.png"
        # What is taken back is asked about again.
        assert say(again, last, 1, None).json()["labelled"] == 2


def test_what_another_process_adds_counts_and_the_last_answer_stands(ask: httpx.Client, folder: Path, reader: Reader):
    pictures = all_pictures(ask)
    say(ask, pictures["hand/7.png"], 0, 1)
    with labelling(folder, reader) as other:
        theirs = all_pictures(other)
        assert "hand/7.png" not in theirs
        say(other, theirs["hand/1.png"], 0, 4)
        say(other, pictures["hand/7.png"] | {"number": theirs["hand/1.png"]["number"]}, 0, 4)
    assert ask.get("/state").json()["labelled"] == 2
    assert "hand/1.png" not in all_pictures(ask)
    say(ask, pictures["hand/1.png"], 0, 1)
    assert [one.label for one in Journal(folder).standing() if one.file == "hand/1.png"] == [1]


def test_a_drawn_box_is_read_and_takes_the_place_of_the_readers(ask: httpx.Client):
    row = all_pictures(ask)["row.png"]
    x, y, width, height = row["digits"][2]["box"]
    near = [x - 2, y - 1, width + 4, height + 2]
    read = ask.post(f"/pictures/{row['number']}/boxes", json={"box": near}).json()
    assert (read["box"], read["digit"], read["label"]) == (near, 8, None)
    state = say(ask, row, 2, 8, box=near).json()
    assert (state["digits"], state["labelled"]) == (8, 1)


def test_a_picture_in_which_boxes_are_drawn_is_no_digit_as_a_whole(ask: httpx.Client):
    seven = all_pictures(ask)["hand/7.png"]
    assert say(ask, seven, 0, 7, box=[20, 20, 50, 60]).json()["digits"] == 8
    # Unless it is labelled as one, too.
    assert say(ask, seven, 0, 7).json()["digits"] == 9
    assert say(ask, seven, 0, "deleted").json()["digits"] == 8


def test_pictures_are_sent_as_browsers_show_them(ask: httpx.Client, folder: Path):
    for file, picture in all_pictures(ask).items():
        answer = ask.get(f"/pictures/{picture['number']}")
        kind = "image/png" if file.startswith("hand") else "image/jpeg"
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)


def test_what_cannot_be_saved_is_said_and_not_counted(ask: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch):
    seven = all_pictures(ask)["hand/7.png"]

    def write(file: object, line: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_write", write)
        answer = say(ask, seven, 0, 7)
        assert answer.status_code == 507
        assert "labels.jsonl: No space left on device; nothing was lost: make room" in answer.json()["error"]
        assert ask.get("/state").json()["labelled"] == 0
    assert say(ask, seven, 0, 7).json()["labelled"] == 1


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/pictures/99", None, 422),
        ("GET", "/pictures/-1", None, 422),
        ("GET", "/next?turn=never", None, 422),
        ("POST", "/pictures/99/answers", {"box": None, "label": 1}, 507),
        ("POST", "/pictures/0/answers", {"box": None, "label": 10}, 422),
        ("POST", "/pictures/0/answers", {"box": None, "label": "seven"}, 422),
        ("POST", "/pictures/0/answers", {"box": [0, 0, 0, 0], "label": 1}, 422),
        ("POST", "/pictures/0/answers", {"label": 1}, 422),
        ("POST", "/pictures/0/answers", {"box": None, "label": 1, "file": "/etc/passwd"}, 422),
        ("POST", "/pictures/0/boxes", {"box": [-1, 0, 5, 5]}, 422),
        ("POST", "/pictures/0/boxes", {}, 422),
    ],
)
def test_what_is_no_answer_is_refused(
    ask: httpx.Client, folder: Path, method: str, path: str, content: object, status: int
):
    all_pictures(ask)
    answer = ask.request(method, path, json=content)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert Journal(folder).standing() == []


def test_numbers_that_are_none_are_left_out_of_besides(ask: httpx.Client):
    assert ask.get("/next", params={"besides": "-1,x,99999999999999999999,"}).json()["picture"] is not None


def test_a_folder_that_cannot_be_labelled_is_one_line(tmp_path: Path, reader: Reader, folder: Path):
    cases: list[tuple[Callable[[], Path], str]] = [
        (lambda: tmp_path / "nowhere", "nowhere: no such folder"),
        (lambda: folder / "row.png", "no such folder; expected one with pictures"),
        (lambda: _empty(tmp_path), "a folder without pictures"),
        (lambda: _with_damaged_labels(folder), "line 1 is no answer"),
    ]
    for make, message in cases:
        with pytest.raises(DataError, match=message):
            create_app(reader, Settings(label=make()))


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def _with_damaged_labels(folder: Path) -> Path:
    (folder / "labels.jsonl").write_text("nonsense\n")
    return folder
