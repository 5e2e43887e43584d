"""Forms with pictures in them."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from helpers.asking import InProcess
from mnist_digits.serving.api.uploads import Upload, find_uploads

BOUNDARY = b"edge"
TYPE = "multipart/form-data; boundary=edge"


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """Parts of name, file's name or None, and content."""
    written = b""
    for name, file, content in parts:
        head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file}"' if file is not None else "")
        written += b"--edge\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return written + b"--edge--\r\n"


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=200).filter(lambda content: b"--edge" not in content), min_size=1, max_size=8))
def test_files_come_back_as_they_were_sent(contents: list[bytes]):
    body = form(("note", None, b"hello"), *[("file", f"{i}.png", content) for i, content in enumerate(contents)])
    assert find_uploads(TYPE, body, 8) == [Upload(f"{i}.png", content) for i, content in enumerate(contents)]


@settings(max_examples=20)
@given(st.binary(max_size=300))
def test_any_other_body_is_a_picture(body: bytes):
    assert find_uploads("image/png", body, 1) == find_uploads("", body, 1) == [Upload(None, body)]


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
def test_what_is_wrong_with_a_form_is_said(content_type: str, body: bytes, found: str):
    with pytest.raises(HTTPException) as error:
        find_uploads(content_type, body, 8)
    assert error.value.status_code == 400
    assert found in error.value.detail


@pytest.mark.parametrize("unit", [b"\r\n--edg", b"\r", b"\r\n", b"-", b"--edge\r\n\r\n", b"\r\n--edge\r\n"])
def test_a_form_that_is_nearly_all_edges_takes_no_longer(unit: bytes):
    body = form(("file", "a", unit * (4_000_000 // len(unit))))
    start = time.process_time()
    try:
        find_uploads(TYPE, body, 8)
    except HTTPException as error:
        assert error.status_code == 400
    assert time.process_time() - start < 3


def test_a_form_of_ten_thousand_parts_is_refused(ask: InProcess):
    answer = ask("POST", "/v1/read", content=form(*[("file", "a", b"x")] * 10_000), headers={"Content-Type": TYPE})
    assert answer.status_code == 400
    assert "more than 32 files" in answer.json()["error"]
