"""Writing the files of an output on the machines of a Ray cluster."""

import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mnist_digits import __version__
from mnist_digits.errors import DataError, printable
from mnist_digits.recognition.bulk.local import CONTINUE, OnProgress
from mnist_digits.recognition.bulk.output import Output
from mnist_digits.recognition.bulk.table import PictureReader

logger = logging.getLogger(__name__)

ADDRESS_TIMEOUT_SECONDS = 6.0
"""Time within which a cluster must answer at its address."""

JOIN_TIMEOUT_SECONDS = 60.0
"""Time within which a cluster that has answered must let this process join."""

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What every client of HTTP/2, which Ray uses, sends first: the server answers at once (RFC 9113, section 3.4)."""

PROGRESS_SECONDS = 1.0
"""Time between two calls of on_progress."""


def check_address(address: str) -> None:
    """Check within seconds whether a cluster may be at an address.

    address: as `read_on_cluster` takes it. Raises DataError when nothing answers there, or a web server does.
    """
    if address == "auto":
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        if not parts.hostname or not parts.port:
            raise ValueError
        with socket.create_connection((parts.hostname, parts.port), ADDRESS_TIMEOUT_SECONDS) as server:
            server.sendall(HTTP2_PREFACE)
            answer = server.recv(len(HTTP2_PREFACE))
    except ValueError:
        raise _no_cluster(address, "not an address") from None
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from None
    if answer.startswith(b"HTTP/1"):
        raise _no_cluster(address, "a web server answers")


def read_on_cluster(
    output: Output, address: str, workers: int | None = None, on_progress: OnProgress = lambda done: None
) -> None:
    """Write the missing files of an output on a cluster that is running.

    address: auto, for the cluster of this machine; host:port; or ray://host:port for one that this machine is no part
    of. workers: maximum number of processes; None for one per core of the cluster. Every machine must find the output's
    folder and the pictures under the same names, and have this version of the program.
    Raises DataError when the cluster does not answer, is lost, or a file cannot be written.
    """
    # Ray reads this variable once, when it is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    _connect(address)
    logger.info("reading %s on the cluster at %s", printable(output.folder), address)
    try:
        most = workers or int(ray.cluster_resources().get("CPU", 1))
        # It runs in the cluster, where a ray:// address may be all that this machine can reach.
        coordinator = ray.remote(_Coordinator).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
        reading = coordinator.read.remote(str(output.folder.resolve()), most)
        finished: list[Any] = []
        while not finished:
            finished, _ = ray.wait([reading], timeout=PROGRESS_SECONDS)
            on_progress(output.done())
        error = ray.get(reading)
    except (ConnectionError, ray.exceptions.RayActorError, ray.exceptions.RaySystemError) as lost:
        logger.warning("the cluster at %s failed: %s", address, _last_line(lost))
        raise DataError(f"{address}: the cluster failed ({_last_line(lost)}); {CONTINUE}") from lost
    finally:
        ray.shutdown()
    if error:
        raise DataError(f"{error}; {CONTINUE}")


def _connect(address: str) -> None:
    """Join the cluster. Raises DataError when it does not answer in time."""
    import ray

    check_address(address)
    failures: list[Exception] = []

    def join() -> None:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.FATAL)
        except Exception as error:
            failures.append(error)

    # In a thread, because Ray itself waits for minutes and ignores interrupts meanwhile.
    joining = threading.Thread(target=join, daemon=True)
    joining.start()
    joining.join(JOIN_TIMEOUT_SECONDS)
    if joining.is_alive():
        raise _no_cluster(address, f"not joined within {JOIN_TIMEOUT_SECONDS:.0f} s")
    if failures:
        raise _no_cluster(address, _last_line(failures[0])) from failures[0]


def _no_cluster(address: str, reason: str) -> DataError:
    return DataError(
        f"--cluster {address}: {reason}; expected a Ray cluster at auto, host:port or ray://host:port: "
        "`ray start --head` begins one"
    )


def _last_line(error: BaseException) -> str:
    """The last line of an error's text, in which Ray gives the cause."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


class _Coordinator:
    """Distributes the missing files to workers, from within the cluster; starts over when Ray restarts it."""

    def read(self, folder: str, workers: int) -> str | None:
        """Write all missing files. Returns the first error, None when there is none."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        try:
            missing = list(Output.open(Path(folder)).missing())
        except DataError as error:
            return _on_host(error)
        if not missing:
            return None
        # A block for each file, so that no more than one is lost with a machine.
        reports = ray.data.from_items(missing, override_num_blocks=len(missing)).map_batches(
            _Worker,
            fn_constructor_args=[folder],
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        )
        return next((row["error"] for row in reports.iter_rows() if row["error"]), None)


class _Worker:
    """A process of the cluster with a reader of its own."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._loaded: tuple[Output, PictureReader] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Write files. batch: their numbers, as `item`. Returns for each its error, or an empty text, as `error`."""
        return {"error": [self._write(int(number)) for number in batch["item"]]}

    def _write(self, number: int) -> str:
        # Returned, because Ray would retry what raises an error.
        try:
            output, reader = self._loaded = self._loaded or self._load()
            # A worker that died may have written the file, but not reported it.
            if not output.path(number).exists():
                output.write(number, reader.read(output.paths(number)))
        except DataError as error:
            return _on_host(error)
        return ""

    def _load(self) -> tuple[Output, PictureReader]:
        output = Output.open(self._folder)
        if output.settings.version != __version__:
            raise DataError(f"mnist-digits {__version__}, expected {output.settings.version} as where the work began")
        return output, PictureReader(output.settings.mode, output.model)


def _on_host(error: DataError) -> str:
    return f"on {socket.gethostname()}: {error}"
