"""A model file → a session of ONNX Runtime, after a look at its graph: a model may come from anybody.

A graph is a program. One with a loop may run for ever, one with operators or weights in other files may read them, and
one that is damaged may end the process; so the file is parsed before ONNX Runtime sees it, and what no image
classifier needs is refused. The fields that are read, and their numbers, are those of onnx/onnx.proto.
"""

import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mnist_digits.errors import DataError

MODELS = Path(__file__).parent / "models"
"""The models that are shipped with the package; they are not looked at."""

MAX_MODEL_BYTES = 200_000_000
"""Size of a model file; the largest recipe's has 5 MB."""

MAX_WEIGHTS = 50_000_000
"""Number of weights of a model; the largest recipe has 1.3 million."""

MAX_NODES = 5_000
"""Number of operations in a model's graph."""

MAX_WORKING_BYTES = 1_000_000_000
"""Memory for the values between a graph's operations."""

TRIAL_SECONDS = 10.0
"""Time in which a model must classify two images; the largest recipe takes a hundredth of a second."""

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Sets of operators that ONNX Runtime brings along."""

OTHER_FORMATS = {
    (0, b"PK"): "an archive, such as a .keras file",
    (0, b"\x89HDF"): "a Keras model in HDF5",
    (4, b"TFL3"): "a LiteRT model",
}
"""Offset and bytes there → the format of a file that people take for a model.onnx, for it was exported beside it."""

Messages = dict[str, dict[str, tuple[int, Any]]]
"""Message → field → its number in onnx/onnx.proto and its kind: another message, float, int, str, bytes; or None for
one that is only counted."""

_MESSAGES: Messages = {
    "Model": {"graph": (7, "Graph"), "functions": (25, None)},
    "Graph": {"node": (1, "Node"), "initializer": (5, "Tensor"), "sparse_initializer": (15, None)},
    "Node": {
        "input": (1, str),
        "output": (2, str),
        "op_type": (4, str),
        "domain": (7, str),
        "attribute": (5, "Attribute"),
    },
    "Attribute": {"t": (5, "Tensor"), "g": (6, None), "tensors": (10, "Tensor"), "graphs": (11, None)},
    "Tensor": {"dims": (1, int), "name": (8, str), "external_data": (13, None), "data_location": (14, int)},
}

_SINGLE = ("name", "op_type", "domain", "g", "t", "graph", "data_location", "data_type", "raw_data", "f", "i", "s")
"""Fields that a message has once."""


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """The model in a file, loaded.

    threads: cores for one run. Raises DataError when the file holds no model, or one with control flow, subgraphs,
    functions, operators that ONNX Runtime does not bring along, weights in other files, or of an absurd size.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # errors are raised, and need not be printed as well
    try:
        foreign = path.parent != MODELS
        # Read once: what is looked at is what is loaded, whoever may write to the file meanwhile.
        with path.open("rb") as file:
            content = file.read(MAX_MODEL_BYTES + 1)
        for (start, magic), kind in OTHER_FORMATS.items():
            if content[start:].startswith(magic):
                raise DataError(f"{path}: {kind}, expected ONNX: name the run's folder, or its model.onnx")
        if foreign:
            _check_graph(path, content)
            _bound_memory()
            options.add_session_config_entry("session.use_env_allocators", "1")
        return onnxruntime.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
            # What is computed when a model is loaded has no limit of time.
            disabled_optimizers=["ConstantFolding"] if foreign else None,
        )
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a model: `digits train` writes model.onnx") from None
    # ONNX Runtime raises a class of its own for each of its failures.
    except Exception as error:
        raise DataError(
            f"{path}: not a model that ONNX Runtime can load ({in_one_line(error)}); copy it again"
        ) from None


def try_session(
    session: onnxruntime.InferenceSession, outputs: list[str], images: NDArray[np.uint8]
) -> list[NDArray[np.float32]]:
    """The outputs for some images, uint8 (n, 28, 28): float32 each, as the model's graph gives them.

    Raises what ONNX Runtime does, also when it takes more than TRIAL_SECONDS.
    """
    options = onnxruntime.RunOptions()
    timer = threading.Timer(TRIAL_SECONDS, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        return list(session.run(outputs, {"images": images}, options))
    finally:
        timer.cancel()


def in_one_line(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())


@functools.cache
def _bound_memory() -> None:
    """Give all models that are not shipped one allocator, which hands out no more than MAX_WORKING_BYTES."""
    kind = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    limits = onnxruntime.OrtArenaCfg({"max_mem": MAX_WORKING_BYTES})
    onnxruntime.create_and_register_allocator(kind, limits)


def _check_graph(path: Path, content: bytes) -> None:
    """Raise DataError when the content of a file is too long, no model, or one with what no classifier needs."""
    if len(content) > MAX_MODEL_BYTES:
        raise DataError(f"{path}: more than {MAX_MODEL_BYTES:,} bytes, expected a model of at most so many")
    model = _parser()()
    try:
        model.ParseFromString(content)
    except Exception:
        raise DataError(f"{path}: not a model that ONNX Runtime can load (no ONNX file); copy it again") from None
    for found in _faults(model):
        raise DataError(f"{path}: a model with {found}, expected layers alone, as `digits train` writes model.onnx")


def _faults(model: Any) -> Iterator[str]:
    """What a model has that no classifier of images needs."""
    nodes = model.graph.node
    if len(nodes) > MAX_NODES:
        yield f"{len(nodes):,} operations (at most {MAX_NODES:,})"
    if model.functions:
        yield "functions of its own"
    for node in nodes:
        if any(attribute.g or attribute.graphs for attribute in node.attribute):
            yield f"the control flow {node.op_type}"
        if node.domain not in DOMAINS:
            yield f"the operator {node.domain}.{node.op_type}"
    constants = [
        (tensor, node.output[:1])
        for node in nodes
        for attribute in node.attribute
        for tensor in (attribute.t, *attribute.tensors)
    ]
    tensors = [*((tensor, [tensor.name]) for tensor in model.graph.initializer), *constants]
    if any(tensor.data_location or tensor.external_data for tensor, _ in tensors):
        yield "weights in another file"
    sizes = {
        name: float(np.prod([abs(size) for size in tensor.dims], dtype=np.float64))
        for tensor, names in tensors
        for name in names
    }
    # Each operation keeps a copy of its weights, arranged as it needs them.
    used = sum(sizes.get(name, 0.0) for node in nodes for name in node.input)
    if max(used, sum(sizes.values())) > MAX_WEIGHTS or model.graph.sparse_initializer:
        yield f"more than {MAX_WEIGHTS:,} weights, or sparse ones"


@functools.cache
def _parser() -> Any:
    return message_class(_MESSAGES)


def message_class(messages: Messages) -> Any:
    """The class of Model, as these messages describe it; fields that are not among them are passed over."""
    # A third of the time that it takes to load the shipped model, which needs none of it.
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

    kinds = descriptor_pb2.FieldDescriptorProto
    plain = {
        str: kinds.TYPE_STRING,
        int: kinds.TYPE_INT64,
        float: kinds.TYPE_FLOAT,
        bytes: kinds.TYPE_BYTES,
        None: kinds.TYPE_BYTES,
    }
    file = descriptor_pb2.FileDescriptorProto(name="model_file.proto", package="model_file", syntax="proto2")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = kinds.LABEL_OPTIONAL if field in _SINGLE else kinds.LABEL_REPEATED
            added = message.field.add(name=field, number=number, label=label)
            if kind in plain:
                added.type = plain[kind]
            else:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".model_file.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("model_file.Model"))
