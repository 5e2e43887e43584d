"""A request's body → the pictures in it: as they are, in a form, as data URLs or in base64, alone or in JSON."""

import base64
import binascii
import json
import logging
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from python_multipart import FormParser, multipart
from python_multipart.exceptions import FormParserError
from starlette.exceptions import HTTPException

from mnist_digits.serving.api.openapi import JSON

FORM = "multipart/form-data"

FILES_FIELD = "file"
"""Name of the form field that holds the pictures."""

MAX_OTHER_FIELDS = 32
"""Maximum number of other fields in a form; they are ignored."""

IMAGE_KEY, IMAGES_KEY = "image", "images"
"""Keys of one picture, and of a list of them, in JSON."""

TEXT_START = re.compile(rb"\s*(data:|iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkqA|TU0AK|JVBERi)")
"""How a picture as text begins: as a data URL, or as PNG, JPEG, GIF, WebP, TIFF and PDF do in base64."""

JSON_START = re.compile(rb'\s*\{\s*"images?"')
"""How JSON begins that is sent without its content-type."""

EXPECTED_JSON = f'{{"{IMAGE_KEY}": "data:image/png;base64,…"}}, or a list of such texts as "{IMAGES_KEY}"'

# Defects of a form are reported in the response.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Upload:
    """One picture of a request."""

    name: str | None
    """Its file name; None when it has none."""
    content: bytes


def find_uploads(body: bytes, content_type: str, most_files: int) -> list[Upload]:
    """The pictures in a form or JSON, in their order; any other body is one picture.

    Raises HTTPException 400 when the form, the JSON or the base64 is damaged, holds no picture, or more than
    `most_files`.
    """
    kind, options = multipart.parse_options_header(content_type)
    if kind == FORM.encode():
        return _of_form(options.get(b"boundary"), body, most_files)
    if JSON_START.match(body) or (kind == JSON.encode() and body.lstrip()[:1] in (b"{", b"[", b'"')):
        return _of_json(body, most_files)
    return [Upload(None, as_picture(body))]


def as_picture(content: bytes) -> bytes:
    """The bytes of a picture file that is given as it is, as a data URL or in base64.

    Raises HTTPException 400 when it is text, and damaged.
    """
    if not TEXT_START.match(content):
        return content
    text = content.strip()
    if text.startswith(b"data:"):
        head, comma, text = text.partition(b",")
        if not comma:
            raise HTTPException(400, "a data URL without a comma, expected data:image/png;base64,… to its end")
        if not head.endswith(b";base64"):
            return unquote_to_bytes(text)
    try:
        # Forms turn + into a space, and some encoders break lines and leave out what fills up the end.
        text = re.sub(rb"[\r\n\t]", b"", text).replace(b" ", b"+").rstrip(b"=")
        return base64.b64decode(text + b"=" * (-len(text) % 4), b"-_" if re.search(rb"[-_]", text) else None, True)
    except binascii.Error as error:
        raise HTTPException(400, f"a picture in damaged base64 ({error}), expected it whole; send it again") from None


def _of_json(body: bytes, most_files: int) -> list[Upload]:
    try:
        found: Any = json.loads(body)
    # Numbers of thousands of digits, and brackets as deep, are refused as well.
    except (ValueError, RecursionError):
        raise HTTPException(400, f"damaged JSON, expected {EXPECTED_JSON}") from None
    if isinstance(found, str):
        found = {IMAGE_KEY: found}
    texts = found.get(IMAGES_KEY, [found.get(IMAGE_KEY)]) if isinstance(found, dict) else None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise HTTPException(400, f"JSON without pictures, expected {EXPECTED_JSON}")
    if len(texts) > most_files:
        raise HTTPException(400, f"{len(texts):,} pictures, expected at most {most_files}; send several requests")
    contents = [text.encode(errors="replace") for text in texts]
    for number, content in enumerate(contents):
        if not TEXT_START.match(content):
            found_text = content[:20].decode(errors="replace")
            raise HTTPException(
                400, f"picture {number}: {found_text!r} is no data URL or base64, expected {EXPECTED_JSON}"
            )
    return [Upload(None, as_picture(content)) for content in contents]


def _of_form(boundary: bytes | None, body: bytes, most_files: int) -> list[Upload]:
    uploads: list[Upload] = []
    fields = 0

    def add(upload: Upload) -> None:
        uploads.append(upload)
        if len(uploads) > most_files:
            raise FormParserError(f"more than {most_files} files")

    def on_file(file: multipart.File) -> None:
        if file.field_name == FILES_FIELD.encode():
            file.file_object.seek(0)
            name = (file.file_name or b"").decode(errors="replace")
            add(Upload(name, file.file_object.read()))
        else:
            count()

    def on_field(field: multipart.Field) -> None:
        # A canvas's data URL is a field, not a file.
        if field.field_name == FILES_FIELD.encode() and field.value and TEXT_START.match(field.value):
            add(Upload(None, field.value))
        else:
            count()

    def count() -> None:
        nonlocal fields
        fields += 1
        if fields > MAX_OTHER_FIELDS:
            raise FormParserError(f"more than {MAX_OTHER_FIELDS} other fields")

    try:
        if not boundary:
            raise FormParserError("no boundary in its content-type")
        # No temporary files: the body is in memory anyway.
        config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
        parser = FormParser(FORM, on_field, on_file, boundary=boundary, config=config)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise HTTPException(400, f"a damaged form ({error}), expected {FORM}; send it again") from None
    if not uploads:
        raise HTTPException(400, f"a form without files in the field {FILES_FIELD}, expected one to {most_files}")
    return [Upload(upload.name, as_picture(upload.content)) for upload in uploads]
