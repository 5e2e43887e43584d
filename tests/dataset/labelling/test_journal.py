import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mnist_digits.dataset.labelling import DELETED, JOURNAL, NO_DIGIT, SKIPPED, Answer, Journal
from mnist_digits.errors import DataError

BOX = (3, 4, 20, 30)

WRITER = """
import sys
from pathlib import Path
from mnist_digits.dataset.labelling import Answer, Journal

journal = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    journal.add(Answer(f"{sys.argv[2]}-{number}.png", 1, None, number % 10, 7, 0.5))
    print(number, flush=True)
"""


def writer(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    """A process that adds answers, and says of each that it is kept."""
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can grow beyond this size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_answers_come_back_as_they_were_given(tmp_path: Path):
    given = [
        Answer("a.png", 1, None, 7, 7, 0.99),
        Answer("sub/ü \n.tif", 3, BOX, 0, None, 0.0, turns=1),
        Answer("a.png", 1, BOX, NO_DIGIT),
        Answer("b.png", 1, BOX, DELETED),
        Answer("c.png", 1, None, SKIPPED),
    ]
    journal = Journal(tmp_path)
    assert journal.standing() == []
    for answer in given:
        journal.add(answer)
    assert journal.standing() == Journal(tmp_path).standing() == given


def test_the_last_answer_about_the_same_ink_stands_and_none_takes_it_back(tmp_path: Path):
    journal, other = Journal(tmp_path), Journal(tmp_path)
    for who, label in ((journal, 1), (other, 2), (journal, 3)):
        who.add(Answer("a.png", 1, None, label))
    journal.add(Answer("b.png", 1, BOX, 5))
    other.add(Answer("b.png", 1, BOX, None))
    assert [one.label for one in journal.standing()] == [3]
    # Each of them hears of everything, once.
    assert [one.label for one in other.news()] == [1, 2, 3, 5, None]
    assert other.news() == []


def test_processes_add_at_the_same_time_and_nothing_is_lost(tmp_path: Path):
    writers = [writer(tmp_path, name, 40) for name in "ab"]
    assert [one.wait(60) for one in writers] == [0, 0]
    files = {one.file for one in Journal(tmp_path).standing()}
    assert files == {f"{name}-{number}.png" for name in "ab" for number in range(40)}
    for one in writers:
        one.stdout.close()  # type: ignore[union-attr]


def test_a_killed_process_loses_nothing_that_it_said_is_kept(tmp_path: Path):
    with writer(tmp_path, "a", 100_000) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    standing = Journal(tmp_path).standing()
    assert len(standing) >= len(said) >= 20
    assert [one.file for one in standing] == [f"a-{number}.png" for number in range(len(standing))]


def test_what_a_crash_left_of_a_line_is_cut_off(tmp_path: Path):
    journal = Journal(tmp_path)
    journal.add(Answer("a.png", 1, None, 1))
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes() + b'{"file": "b.p')
    assert [one.file for one in Journal(tmp_path).standing()] == ["a.png"]
    journal.add(Answer("c.png", 1, None, 3))
    assert [one.file for one in journal.standing()] == ["a.png", "c.png"]
    assert [one.file for one in Journal(tmp_path).standing()] == ["a.png", "c.png"]


@pytest.mark.parametrize("room", [0, 1, 50])
def test_a_full_disk_is_an_error_and_harms_nothing(tmp_path: Path, room: int):
    journal = Journal(tmp_path)
    journal.add(Answer("a.png", 1, None, 1))
    content = (tmp_path / JOURNAL).read_bytes()
    with full_disk(len(content) + room), pytest.raises(DataError, match=r"labels\.jsonl: .*make room"):
        journal.add(Answer("b.png", 1, None, 2))
    assert (tmp_path / JOURNAL).read_bytes() == content
    journal.add(Answer("b.png", 1, None, 2))
    assert [one.label for one in journal.standing()] == [1, 2]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / JOURNAL).mkdir()
    with pytest.raises(DataError, match=r"labels\.jsonl: "):
        Journal(tmp_path).add(Answer("a.png", 1, None, 1))


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        "{}",
        '{"file": "a.png", "page": 1, "box": null, "label": 10}',
        '{"file": "a.png", "page": 1, "box": null, "label": true}',
        '{"file": "a.png", "page": 1, "box": [1, 2], "label": 1}',
        '{"file": "a.png", "page": 1, "box": null, "label": [1]}',
    ],
)
def test_a_line_that_is_no_answer_is_named(tmp_path: Path, line: str):
    Journal(tmp_path).add(Answer("a.png", 1, None, 1))
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(line + os.linesep)
    with pytest.raises(DataError, match="line 2 is no answer"):
        Journal(tmp_path).standing()


def test_another_may_refuse_an_answer(tmp_path: Path):
    journal = Journal(tmp_path)

    def allow(standing: list[Answer]) -> None:
        if len(standing) >= 2:
            raise DataError("full")

    for number in range(2):
        journal.add(Answer(f"{number}.png", 1, None, 1), allow)
    with pytest.raises(DataError, match="full"):
        Journal(tmp_path).add(Answer("2.png", 1, None, 1), allow)
    assert len(journal.standing()) == 2
