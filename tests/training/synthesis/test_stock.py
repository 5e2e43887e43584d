from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mnist_digits.dataset import Dataset, Split
from mnist_digits.errors import DataError
from mnist_digits.training.synthesis import stock
from mnist_digits.training.synthesis.pages import Pages


class Composer:
    """Composes pages of noise, and counts them."""

    def __init__(self) -> None:
        self.composed = 0

    def __call__(self, split: Split, count: int, seed: int) -> Pages:
        random = np.random.default_rng(seed)
        self.composed += count
        planes = [random.integers(0, 256, (count, side, side), np.uint8) for side in (12, 12, 3, 3)]
        return Pages(*planes, random.random((count, 5, 5), np.float32))


def as_bytes(pages: Pages) -> list[bytes]:
    return [getattr(pages, one.name).tobytes() for one in fields(pages)]


def test_pages_are_composed_once_and_continued(small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stock, "PAGES_PER_BLOCK", 4)
    composer, lines = Composer(), list[str]()
    few = stock.compose_kept(composer, small.train, 6, 1, tmp_path / "a", lines.append)
    assert lines == ["composed 4 of 6 pages", "composed 6 of 6 pages"]
    assert [part.shape for part in (few.ink, few.digit_mask, few.digits)] == [(6, 12, 12), (6, 3, 3), (6, 5, 5)]
    before = composer.composed
    again = stock.compose_kept(composer, small.train, 7, 1, tmp_path / "a", lines.append)
    assert composer.composed == before, "was composed again"
    assert [part[: len(own)] for part, own in zip(as_bytes(again), as_bytes(few), strict=True)] == as_bytes(few)
    more = stock.compose_kept(composer, small.train, 11, 1, tmp_path / "a", lines.append)
    at_once = stock.compose_kept(composer, small.train, 11, 1, tmp_path / "b", lines.append)
    assert as_bytes(more) == as_bytes(at_once)
    assert len({page.tobytes() for page in more.ink}) == 11
    # As training takes them: a batch of its own, which may be changed.
    batch = more.ink[np.array([3, 1])]
    batch[0] = 0
    assert more.ink[3].any()


def test_a_killed_composition_leaves_only_whole_blocks(small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stock, "PAGES_PER_BLOCK", 4)
    whole = stock.compose_kept(Composer(), small.train, 8, 1, tmp_path / "whole", print)

    def killed(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stock.compose_kept(Composer(), small.train, 8, 1, tmp_path / "broken", killed)
    with (tmp_path / "broken/ink.bin").open("ab") as file:
        file.write(b"half a block")
    assert as_bytes(stock.compose_kept(Composer(), small.train, 8, 1, tmp_path / "broken", print)) == as_bytes(whole)


def test_pages_of_something_else_are_refused(small: Dataset, tmp_path: Path):
    stock.compose_kept(Composer(), small.train, 4, 1, tmp_path, print)
    for split, seed in ((small.test, 1), (small.train, 2)):
        with pytest.raises(DataError, match="pages of other digits, another seed or version; remove it"):
            stock.compose_kept(Composer(), split, 4, seed, tmp_path, print)
    (tmp_path / "ink.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"ink\.bin: missing or cut short"):
        stock.compose_kept(Composer(), small.train, 4, 1, tmp_path, print)
