"""TensorBoard: events in the run's folder, with curves of training and validation that lie on each other.

They are written by TensorBoard's own package, so that Keras may run on any backend.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_digits.training.export.trackers import Beginning, Outcome

SPLITS = {"train": "", "validation": "val_"}
"""Folder of events → prefix of the history's columns in it."""

CURVES = ("loss", "accuracy")


def begin(beginning: Beginning) -> "EventFiles":
    """New event files, with the parameters in them unless an interrupted training goes on."""
    files = EventFiles(beginning.run)
    if not beginning.key:
        files.log_parameters(beginning.parameters)
    return files


class EventFiles:
    """Event files of TensorBoard in two folders."""

    def __init__(self, run: Any) -> None:
        """run: a Run."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = run.folder / "tensorboard"
        self._run, self._writers = run, {name: EventFileWriter(str(folder / name)) for name in SPLITS}
        self.key = run.folder.name
        self.where = f"tensorboard --logdir {folder}"

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log them for the tab HPARAMS, and as a table."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        known = {name: value for name, value in parameters.items() if isinstance(value, bool | int | float | str)}
        self._write("train", hparams_pb(known, trial_id=self.key), 0)
        table = "\n".join(["|parameter|value|", "|---|---|", *(f"|{name}|{one}|" for name, one in parameters.items())])
        self._write("train", _text("parameters", table), 0)

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Log a row of the history, counted from 1."""
        for split, prefix in SPLITS.items():
            self._write(split, _scalars({f"epoch_{name}": row[prefix + name] for name in CURVES}), epoch)
        self._write("train", _scalars({"seconds": row["seconds"]}), epoch)

    def log_results(self, metrics: Mapping[str, float]) -> None:
        """Log the metrics and figures, and the model card, for TensorBoard keeps no models."""
        self._write("train", _scalars(metrics), 0)
        for path in sorted(self._run.figures.glob("*.png")):
            self._write("train", _image(f"figures/{path.stem}", path), 0)
        if self._run.card.exists():
            self._write("train", _text("model card", self._run.card.read_text(encoding="utf-8")), 0)

    def close(self, outcome: Outcome) -> None:
        """Write what is left."""
        for writer in self._writers.values():
            writer.close()

    def _write(self, split: str, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writers[split].add_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writers[split].flush()


def _scalars(values: Mapping[str, float]) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])


def _image(tag: str, path: Path) -> Any:
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    with Image.open(path) as picture:
        width, height = picture.size
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def _text(tag: str, markdown: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[markdown.encode()], tensor_shape=shape)
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
