"""Labelled digits as others take them: pictures in a folder for each digit, IDX files, or a Parquet file with boxes."""

import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from mnist_digits.dataset.labelling.digits import answered_digits
from mnist_digits.dataset.pictures import Found, LabelledPicture
from mnist_digits.errors import DataError, UsageError
from mnist_digits.files import atomic_folder, atomic_write

Kind = Literal["folder", "idx", "parquet"]

KINDS: tuple[Kind, ...] = get_args(Kind)

ROWS_PER_GROUP = 1000
"""Rows of the Parquet file that are in memory at once."""


def kind_of(out: Path, name: str | None) -> Kind:
    """What to export. name: one of KINDS, None for what the ending of `out` says. Raises UsageError for another."""
    if name is None:
        return "parquet" if out.suffix.lower() == ".parquet" else "folder"
    for kind in KINDS:
        if name == kind:
            return kind
    raise UsageError(f"--format {name}: expected one of {', '.join(KINDS)}")


def export(folder: Path, out: Path, kind: Kind) -> Found:
    """Write the labelled digits of a folder to a new folder or file, and say what was found.

    Pictures that are labelled as a whole are copied as they are; a digit on a page is cut out of it.
    Raises DataError when there are none, when one cannot be written, or `out` exists or lies in the folder.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{out}: lies in {folder}, where it would be labelled, too; name a place outside")
    if out.exists():
        raise DataError(f"{out}: exists already; remove it, or name another")
    found = Found()
    {"folder": _as_folder, "idx": _as_idx, "parquet": _as_parquet}[kind](folder, out, found)
    return found


def _as_folder(folder: Path, out: Path, found: Found) -> None:
    with atomic_folder(out) as temporary:
        number = 0
        for number, (one, answer) in enumerate(answered_digits(folder, found), 1):
            path = Path(answer.file)
            stem = re.sub(r"[^\w-]+", "-", path.stem, flags=re.ASCII)[:60]
            suffix = path.suffix if isinstance(one.picture, Path) else ".png"
            place = temporary / str(one.label)
            place.mkdir(exist_ok=True)
            (place / f"{number:06}-{stem}{suffix}").write_bytes(_content(one))
        _need_some(folder, number, found)


def _as_idx(folder: Path, out: Path, found: Found) -> None:
    from mnist_digits.dataset.mnist import write_dataset
    from mnist_digits.dataset.sources import load_data

    data, loaded = load_data(folder)
    write_dataset(data, out)
    found.what, found.notes, found.unreadable = loaded.what, loaded.notes, loaded.unreadable


def _as_parquet(folder: Path, out: Path, found: Found) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema(
        {
            "image": pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}),
            "label": pyarrow.int64(),
            "origin": pyarrow.string(),
            "page": pyarrow.int32(),
            "box": pyarrow.list_(pyarrow.int32(), 4),
            "group": pyarrow.string(),
        }
    )
    with atomic_write(out) as temporary:
        with pyarrow.parquet.ParquetWriter(temporary, schema) as file:
            rows = _rows(folder, found)
            number = 0
            while batch := list(islice(rows, ROWS_PER_GROUP)):
                number += len(batch)
                file.write_table(pyarrow.Table.from_pylist(batch, schema))
        _need_some(folder, number, found)


def _rows(folder: Path, found: Found) -> Iterator[dict[str, Any]]:
    """A row for each digit: Hugging Face's `image` and `label`, and where it was found."""
    for one, answer in answered_digits(folder, found):
        yield {
            "image": {"bytes": _content(one), "path": answer.file},
            "label": one.label,
            "origin": answer.file,
            "page": answer.page,
            "box": answer.box,
            "group": one.group,
        }


def _content(one: LabelledPicture) -> bytes:
    """The file of a picture as it is, or a PNG file of pixels."""
    if isinstance(one.picture, Path):
        return one.picture.read_bytes()
    assert not isinstance(one.picture, bytes)
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(one.picture).save(file, "PNG")
    return file.getvalue()


def _need_some(folder: Path, count: int, found: Found) -> None:
    if not count:
        reason = f"its pictures cannot be read: {found.unreadable[0]}" if found.unreadable else "nothing is labelled"
        raise DataError(f"{folder}: {reason}; expected labelled digits: label some with digits label {folder}")
