"""Bodies of requests → the pictures in them."""

import logging
from dataclasses import dataclass

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header
from starlette.exceptions import HTTPException

FIELD = "file"
"""Of a form, the field in which its pictures are."""

MOST_FIELDS = 32
"""Other fields of a form; none of them is read."""


# What is wrong with a form is told to who sent it.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Upload:
    """One picture as it was sent."""

    name: str | None
    """What its sender calls it; None when the picture is the whole body."""
    content: bytes


def find_uploads(content_type: str, body: bytes, most_files: int) -> list[Upload]:
    """The pictures in a form, in their order; of any other body the one that it is.

    Raises HTTPException 400 when the form is damaged, holds no file in the field `file`, or more than `most_files`.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return [Upload(None, body)]
    files = [
        Upload((file.file_name or b"").decode(errors="replace"), _content(file))
        for file in _parse(options.get(b"boundary"), body, most_files)
        if file.field_name == FIELD.encode()
    ]
    if not files:
        raise HTTPException(400, f"a form without files in the field {FIELD}, expected one to {most_files}")
    return files


def _parse(boundary: bytes | None, body: bytes, most_files: int) -> list[File]:
    files: list[File] = []
    fields = 0

    def on_file(file: File) -> None:
        files.append(file)
        if len(files) > most_files:
            raise FormParserError(f"more than {most_files} files")

    def on_field(_: Field) -> None:
        nonlocal fields
        fields += 1
        if fields > MOST_FIELDS:
            raise FormParserError(f"more than {MOST_FIELDS} other fields")

    try:
        if not boundary:
            raise FormParserError("no boundary in its content-type")
        # Nothing is written to disk: the body is in memory already.
        config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
        parser = FormParser("multipart/form-data", on_field, on_file, boundary=boundary, config=config)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise HTTPException(400, f"a damaged form ({error}), expected multipart/form-data; send it again") from None
    return files


def _content(file: File) -> bytes:
    file.file_object.seek(0)
    return file.file_object.read()
