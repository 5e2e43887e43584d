import itertools
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import reading
from benchmarks.reading import readers
from benchmarks.reading.pages.composition import WrittenPage, make_page
from benchmarks.reading.readers import PAGE_READERS, Fragment, PageReader, Picture, ReadLine, group_into_lines
from mnist_digits.dataset import load_mnist


@cache
def dev_pages() -> dict[str, WrittenPage]:
    """Level → the page that tiny mode makes of the digits set aside for validation."""
    digits = load_mnist().validation
    return {level: make_page(digits.images, digits.labels, level, reading.FIRST_DEV_SEED) for level in reading.LEVELS}


@pytest.fixture(scope="module")
def measured(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that tiny mode writes."""
    output = tmp_path_factory.mktemp("reading") / "reading.json"
    reading.BENCHMARK.main(["--tiny", "--dev", "--network", str(small_model), "--output", str(output)])
    return output


def test_tiny_mode_measures_every_level(measured: Path, small_model: Path):
    result = json.loads(measured.read_text())
    assert (result["command"], result["pages"]) == ("python -m benchmarks.reading --dev --tiny", 1)
    assert set(result["rows"]) == {"reader", "tutorial"}
    tutorial = result["rows"]["tutorial"]
    assert tutorial["model_bytes"] == small_model.stat().st_size
    for level, row in tutorial["levels"].items():
        lines = [line.text.replace(" ", "") for line in dev_pages()[level].lines]
        assert (row["digits"], row["rows"]) == (sum(map(len, lines)), len(lines))
        assert row["median_milliseconds"] > 0
        wrong = row["mistaken"] + row["missed"] + row["invented"]
        assert row["digit_accuracy"] == pytest.approx(1 - wrong / row["digits"])
    clean = tutorial["levels"]["clean"]
    assert clean["digit_accuracy"] > 0.4
    assert clean["interval95"][0] <= clean["digit_accuracy"] <= clean["interval95"][1]


def test_the_table_has_a_row_for_each_reader(measured: Path, capsys: pytest.CaptureFixture):
    reading.BENCHMARK.main(["--table", "--output", str(measured)])
    lines = capsys.readouterr().out.splitlines()
    row = json.loads(measured.read_text())["rows"]["tutorial"]["levels"]["clean"]
    assert lines[0].startswith(f"| clean: 1 pages, {row['digits']} digits, {row['rows']} rows | digits right |")
    cells = lines[3].split(" | ")
    assert cells[:2] == ["| OpenCV tutorial", f"{100 * row['digit_accuracy']:.1f} %"]
    assert len({line.count("|") for line in lines if line}) == 1


def test_one_reader_can_be_measured_anew(
    measured: Path, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "again.json"
    output.write_text(measured.read_text())
    perfect = {page.pixels.tobytes(): page for page in dev_pages().values()}

    def read(picture: Picture) -> list[ReadLine]:
        np.testing.assert_array_equal(np.asarray(Image.open(picture.path)), picture.pixels)
        return [ReadLine(line.text, line.boxes) for line in perfect[picture.pixels.tobytes()].lines]

    monkeypatch.setitem(PAGE_READERS, "reader", PageReader("Perfect", lambda network: read, lambda network: 7))
    arguments = ["--tiny", "--dev", "--network", str(small_model), "--output", str(output)]
    reading.BENCHMARK.main([*arguments, "--only", "reader", "--dump", str(tmp_path / "wrong")])
    before, after = json.loads(measured.read_text())["rows"], json.loads(output.read_text())["rows"]
    assert after["tutorial"] == before["tutorial"]
    assert {row["digit_accuracy"] for row in after["reader"]["levels"].values()} == {1.0}
    assert {row["exact_rows"] for row in after["reader"]["levels"].values()} == {1.0}
    assert not list((tmp_path / "wrong").iterdir())


def test_rows_of_other_pages_are_not_kept(measured: Path, tmp_path: Path):
    output = tmp_path / "other.json"
    output.write_text(json.dumps(json.loads(measured.read_text()) | {"pages": 30}))
    with pytest.raises(SystemExit, match="30 pages of validation digits"):
        reading.BENCHMARK.main(["--tiny", "--dev", "--only", "tutorial", "--output", str(output)])


def test_a_reader_that_is_not_installed_is_named(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    output = tmp_path / "missing.json"
    output.write_text(measured.read_text())
    absent = replace(PAGE_READERS["tesseract"], missing=lambda: "tesseract is not installed; apt-get install it")
    monkeypatch.setitem(PAGE_READERS, "tesseract", absent)
    reading.BENCHMARK.main(["--tiny", "--dev", "--only", "tesseract", "--output", str(output)])
    rows = json.loads(output.read_text())["rows"]
    assert rows["tesseract"] == {"title": "Tesseract 5", "not_measured": "tesseract is not installed"}
    shown = capsys.readouterr()
    assert "apt-get install it, then measure it with --only tesseract" in shown.err
    assert "| Tesseract 5 | not measured |" in shown.out


def test_a_reader_that_fails_has_read_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def read(picture: Picture) -> list[ReadLine]:
        raise ZeroDivisionError("at all")

    monkeypatch.setitem(PAGE_READERS, "reader", PageReader("Broken", lambda network: read, lambda network: 7))
    output = tmp_path / "failed.json"
    reading.BENCHMARK.main(["--tiny", "--dev", "--only", "reader", "--output", str(output)])
    for row in json.loads(output.read_text())["rows"]["reader"]["levels"].values():
        assert (row["failures"], row["missed"], row["digit_accuracy"]) == (1, row["digits"], 0)
    shown = capsys.readouterr()
    assert "Broken broke off with an error on 1 pages of level clean." in shown.out
    assert "ZeroDivisionError: at all" in shown.err


def test_pages_that_were_read_wrong_are_drawn(tmp_path: Path):
    page = dev_pages()["clean"]
    drawn = reading.annotate(page, [ReadLine("12", ((3, 3, 10, 10),))])
    height, width, _ = page.pixels.shape
    assert drawn.shape[0] > height
    assert drawn.shape[1] >= width
    x, y, *_ = page.lines[0].boxes[0]
    assert tuple(drawn[y, x]) == (0, 170, 0)
    assert tuple(drawn[3, 3]) == (230, 0, 200)


def test_the_tutorial_reads_a_tidy_page(small_model: Path):
    # Ones in a single stroke, large enough: nothing but a box around each can go wrong.
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 4:24, 13:16] = 255
    pages = (make_page(image, np.array([1], np.uint8), "clean", seed) for seed in itertools.count())
    page = next(page for page in pages if page.lines[0].boxes[0][3] > 50)
    lines = readers.open_tutorial(small_model)(Picture(page.pixels, Path("unused")))
    assert [line.text for line in lines] == [line.text.replace(" ", "") for line in page.lines]
    for true, read in zip(page.lines, lines, strict=True):
        np.testing.assert_allclose(read.boxes, true.boxes, atol=4)


def test_lines_are_followed_along_their_slope():
    # Two lines that fall by more than the space between them, given in no order.
    boxes = [(x, 20 + x // 5 + row * 40, 18, 20) for row in range(2) for x in range(0, 400, 40)]
    order = np.random.default_rng(0).permutation(len(boxes))
    rows = group_into_lines([Fragment.around(boxes[n]) for n in order])
    assert [[order[n] for n in row] for row in rows] == [list(range(10)), list(range(10, 20))]
    assert group_into_lines([]) == []


def test_a_turned_box_has_ends_of_its_own():
    fragment = Fragment.along(np.array([[0, 0], [100, 20], [98, 30], [-2, 10]], float))
    np.testing.assert_allclose((fragment.left, fragment.right), ([-1, 5], [99, 25]))
    assert fragment.height == pytest.approx(np.hypot(2, 10))


@pytest.mark.parametrize("name", ["tesseract", "rapidocr"])
def test_a_reader_of_any_text_reads_plain_digits(name: str, tmp_path: Path):
    reader = PAGE_READERS[name]
    if reader.missing():
        pytest.skip(reader.missing())
    page = make_page(load_mnist().validation.images, load_mnist().validation.labels, "clean", 4)
    path = tmp_path / "page.png"
    Image.fromarray(page.pixels).save(path)
    lines = reader.open(path)(Picture(page.pixels, path))
    assert reading.score_page([line.text for line in page.lines], [line.text for line in lines]).accuracy > 0.2
    assert reader.model_bytes(path) > 1e6


def test_pages_for_development_never_overwrite_the_results(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as stopped:
        reading.BENCHMARK.main(["--dev"])
    assert stopped.value.code == 2
    assert "name another --output" in capsys.readouterr().err
