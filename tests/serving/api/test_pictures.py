"""`/v1/predict` and `/v1/read`."""

import base64
import json
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from helpers.asking import InProcess, as_png
from helpers.command import Digits
from mnist_digits.recognition import Reader
from mnist_digits.serving.api.uploads import TEXT_START, Upload, find_uploads

PATHS = ["/v1/predict", "/v1/read"]


def test_a_picture_as_body_and_in_a_form_is_what_the_reader_says(ask: InProcess, reader: Reader, digit_png: bytes):
    expected = reader.classifier.classify(digit_png).to_json()
    assert expected["digit"] == 7
    answer = ask("POST", "/v1/predict", content=digit_png)
    assert answer.status_code == 200
    assert answer.json() == {"file": None, **expected}
    answer = ask("POST", "/v1/predict", files={"file": ("sept-è.png", digit_png)})
    assert answer.json() == {"file": "sept-è.png", **expected}


def test_a_page_is_what_the_reader_says(ask: InProcess, reader: Reader, page_png: bytes):
    expected = reader.read(page_png)
    assert len(expected.lines) == 2
    assert ask("POST", "/v1/read", content=page_png).json() == {"file": None, **expected.to_json()}


@pytest.mark.parametrize("path", PATHS)
def test_several_files_are_a_list_in_their_order(ask: InProcess, path: str, digit_png: bytes, page_png: bytes):
    contents = {"a.png": digit_png, "no.txt": b"seven", "b.png": page_png}
    rows = ask("POST", path, files=[("file", item) for item in contents.items()]).json()
    assert [row["file"] for row in rows] == list(contents)
    assert rows[1]["reason"] == "unreadable"
    for row in (rows[0], rows[2]):
        assert row == {**ask("POST", path, content=contents[row["file"]]).json(), "file": row["file"]}


@pytest.mark.parametrize("path", PATHS)
def test_a_picture_without_a_digit_is_a_result(ask: InProcess, path: str):
    answer = ask("POST", path, content=as_png(np.full((60, 80), 220, np.uint8)))
    assert answer.status_code == 200
    assert answer.json()["reason"] == "blank"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("content", [b"", b"seven", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_what_is_no_picture_is_refused_in_the_readers_words(ask: InProcess, path: str, content: bytes):
    for sent in ({"content": content}, {"files": {"file": ("a.png", content)}}):
        answer = ask("POST", path, **sent)
        assert answer.status_code == 422
        assert "expected" in answer.json()["error"]


def test_a_cut_off_picture_is_refused(ask: InProcess, digit_png: bytes):
    answer = ask("POST", "/v1/predict", content=digit_png[: len(digit_png) // 2])
    assert answer.status_code == 422
    assert "damaged picture" in answer.json()["error"]


@pytest.mark.parametrize("path", PATHS)
def test_a_decompression_bomb_is_refused(ask: InProcess, path: str):
    answer = ask("POST", path, content=written_png(30_000, 30_000))
    assert answer.status_code == 422
    assert "expected at most 64,000,000" in answer.json()["error"]


def written_png(width: int, height: int) -> bytes:
    """A grey PNG whose header has this size, and whose data are a thousand zeros."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_a_minimum_confidence_may_be_given(ask: InProcess, digit_png: bytes):
    assert ask("POST", "/v1/predict?min_confidence=1", content=digit_png).json()["reason"] == "not-a-digit"
    for text in ("2", "-0.1", "nan", "much"):
        answer = ask("POST", f"/v1/predict?min_confidence={text}", content=digit_png)
        assert answer.status_code == 400
        assert "from 0 to 1" in answer.json()["error"]


@pytest.mark.parametrize("command", ["predict", "read"])
def test_json_is_that_of_the_command(
    ask: InProcess, digits: Digits, command: str, digit_png: bytes, page_png: bytes, tmp_path: Path
):
    contents = {"a.png": digit_png, "b.png": page_png}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    lines = digits(command, "--json", *contents).stdout.splitlines()
    for line, (name, content) in zip(lines, contents.items(), strict=True):
        assert ask("POST", f"/v1/{command}", files={"file": (name, content)}).text == line
        assert json.loads(line)["file"] == name


def test_an_error_has_the_name_of_the_file(ask: InProcess):
    for path in PATHS:
        answer = ask("POST", path, files={"file": ("ill.png", b"seven")})
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("ill.png: not a picture")


@pytest.mark.parametrize("path", PATHS)
def test_a_picture_may_be_a_data_url_or_base64(ask: InProcess, path: str, digit_png: bytes):
    expected = ask("POST", path, content=digit_png).json()
    plain = base64.b64encode(digit_png)
    url = b"data:image/png;base64," + plain
    for text in (
        plain,
        url,
        base64.encodebytes(digit_png),
        base64.urlsafe_b64encode(digit_png).rstrip(b"="),
        b" " + url,
    ):
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            assert ask("POST", path, content=text, headers={"Content-Type": kind}).json() == expected
        assert ask("POST", path, json={"image": text.decode()}).json() == expected
        assert ask("POST", path, json=text.decode()).json() == expected
        assert ask("POST", path, json={"images": [text.decode()] * 2}).json() == [expected] * 2
        # What curl --data and a page's FormData send.
        assert ask("POST", path, content=b'{"image": "%s"}' % text.replace(b"\n", b"")).json() == expected
        assert ask("POST", path, files={"file": (None, text)}).json() == expected


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"data:image/png;base64", "a data URL without a comma"),
        (b"data:image/png;base64,iVB*RA==", "damaged base64"),
        (b"iVBORw0KGgoA!", "damaged base64"),
        (b'{"image": ', "damaged JSON"),
        (b'{"image": 7}', "JSON without pictures"),
        (b'{"images": []}', "JSON without pictures"),
        (b'{"images": [null]}', "JSON without pictures"),
        (b'{"images": "iVBORw0KGgo"}', "JSON without pictures"),
        (b'{"image": "seven"}', "picture 0: 'seven' is no data URL or base64"),
        (b'{"images": [' + b'"data:,a",' * 40 + b'"data:,a"]}', "41 pictures, expected at most 32"),
        (b'{"images": ' + b"[" * 200_000, "damaged JSON"),
    ],
)
def test_damaged_text_is_refused(ask: InProcess, content: bytes, found: str):
    answer = ask("POST", "/v1/predict", content=content)
    assert answer.status_code == 400
    assert found in answer.json()["error"]


BOUNDARY = b"edge"
TYPE = "multipart/form-data; boundary=edge"


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """A form. parts: name, file name or None, and content."""
    written = b""
    for name, file, content in parts:
        head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file}"' if file is not None else "")
        written += b"--edge\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return written + b"--edge--\r\n"


PICTURES = st.binary(max_size=300).filter(lambda body: body.strip()[:1] != b"{" and not TEXT_START.match(body))
"""What is neither JSON nor a picture in base64."""


@settings(max_examples=40)
@given(st.lists(PICTURES.filter(lambda content: b"--edge" not in content), min_size=1, max_size=8))
def test_files_come_back_as_they_were_sent(contents: list[bytes]):
    body = form(("note", None, b"hello"), *[("file", f"{i}.png", content) for i, content in enumerate(contents)])
    assert find_uploads(body, TYPE, 8) == [Upload(f"{i}.png", content) for i, content in enumerate(contents)]


@settings(max_examples=20)
@given(PICTURES)
def test_any_other_body_is_a_picture(body: bytes):
    assert find_uploads(body, "image/png", 1) == find_uploads(body, "", 1) == [Upload(None, body)]


@pytest.mark.parametrize(
    ("content_type", "body", "found"),
    [
        ("multipart/form-data", form(("file", "a", b"x")), "no boundary"),
        (TYPE, b"", "without files"),
        (TYPE, form(("picture", "a", b"x")), "without files in the field file"),
        (TYPE, form(("file", None, b"x")), "without files in the field file"),
        (TYPE, form(*[("file", "a", b"x")] * 9), "more than 8 files"),
        (TYPE, form(*[("other", None, b"x")] * 10_000), "more than 32 other fields"),
        (TYPE, form(*[("file", "a", b"")] * 10_000), "more than 8 files"),
        (TYPE, b"--edge\r\nnothing like a header\r\n\r\n", "damaged form"),
    ],
)
def test_invalid_forms_are_refused(content_type: str, body: bytes, found: str):
    with pytest.raises(HTTPException) as error:
        find_uploads(body, content_type, 8)
    assert error.value.status_code == 400
    assert found in error.value.detail


@pytest.mark.parametrize("unit", [b"\r\n--edg", b"\r", b"\r\n", b"-", b"--edge\r\n\r\n", b"\r\n--edge\r\n"])
def test_a_form_of_near_boundaries_takes_no_longer(unit: bytes):
    body = form(("file", "a", unit * (4_000_000 // len(unit))))
    start = time.process_time()
    try:
        find_uploads(body, TYPE, 8)
    except HTTPException as error:
        assert error.status_code == 400
    assert time.process_time() - start < 3


def test_a_form_of_ten_thousand_parts_is_refused(ask: InProcess):
    answer = ask("POST", "/v1/read", content=form(*[("file", "a", b"x")] * 10_000), headers={"Content-Type": TYPE})
    assert answer.status_code == 400
    assert "more than 32 files" in answer.json()["error"]
