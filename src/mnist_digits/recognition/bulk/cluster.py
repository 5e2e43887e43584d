"""Files of an output by the machines of a Ray cluster."""

import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mnist_digits import __version__
from mnist_digits.errors import DataError
from mnist_digits.recognition.bulk.local import CONTINUE, OnProgress
from mnist_digits.recognition.bulk.output import Output
from mnist_digits.recognition.bulk.table import PictureReader

ANSWER_SECONDS = 6.0
"""Whoever has not answered by then is not there."""

JOIN_SECONDS = 60.0
"""A cluster that has answered, but not let this process join by then, is none or in trouble."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How every client of HTTP/2 begins, which Ray speaks: the server answers at once (RFC 9113, section 3.4)."""

LOOK_SECONDS = 1.0
"""Between one look at what is finished and the next."""


def knock(address: str) -> None:
    """Find out whether a cluster may be there, within seconds.

    address: as `read_on_cluster` takes it. Raises DataError where nobody listens, or somebody else than Ray.
    """
    if address == "auto":
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        if not parts.hostname or not parts.port:
            raise ValueError
        with socket.create_connection((parts.hostname, parts.port), ANSWER_SECONDS) as server:
            server.sendall(HELLO)
            answer = server.recv(len(HELLO))
    except ValueError:
        raise _silent(address, "not an address") from None
    except OSError as error:
        raise _silent(address, error.strerror or str(error)) from None
    if answer.startswith(b"HTTP/1"):
        raise _silent(address, "a web server answers")


def read_on_cluster(
    output: Output, address: str, workers: int | None = None, on_progress: OnProgress = lambda done: None
) -> None:
    """Read what is missing, on a cluster that is running.

    address: auto, for that of this machine; host:port; or ray://host:port for one that this machine is no part of.
    workers: at most so many processes; else one for each of the cluster's cores. Every machine sees the output's folder
    and the pictures under the same names, and has this version of the program.
    Raises DataError when the cluster does not answer, is lost, or cannot do the work.
    """
    # Before Ray is imported, which looks at it once.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    _connect(address)
    try:
        most = workers or int(ray.cluster_resources().get("CPU", 1))
        # It runs in the cluster, where a ray:// address may be all that this machine can reach.
        conductor = ray.remote(_Conductor).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
        work = conductor.read.remote(str(output.folder.resolve()), most)
        finished: list[Any] = []
        while not finished:
            finished, _ = ray.wait([work], timeout=LOOK_SECONDS)
            on_progress(output.done())
        error = ray.get(work)
    except (ConnectionError, ray.exceptions.RayActorError, ray.exceptions.RaySystemError) as lost:
        raise DataError(f"{address}: the cluster failed ({_line(lost)}); {CONTINUE}") from lost
    finally:
        ray.shutdown()
    if error:
        raise DataError(f"{error}; {CONTINUE}")


def _connect(address: str) -> None:
    """Join the cluster. Raises DataError when it does not answer in time."""
    import ray

    knock(address)
    failures: list[Exception] = []

    def join() -> None:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.FATAL)
        except Exception as error:
            failures.append(error)

    # Ray itself waits for minutes, deaf to interrupts.
    joining = threading.Thread(target=join, daemon=True)
    joining.start()
    joining.join(JOIN_SECONDS)
    if joining.is_alive():
        raise _silent(address, f"not joined within {JOIN_SECONDS:.0f} s")
    if failures:
        raise _silent(address, _line(failures[0])) from failures[0]


def _silent(address: str, reason: str) -> DataError:
    return DataError(
        f"--cluster {address}: {reason}; expected a Ray cluster at auto, host:port or ray://host:port: "
        "`ray start --head` begins one"
    )


def _line(error: BaseException) -> str:
    """What it comes to, which Ray says last."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


class _Conductor:
    """Has the work done from within the cluster, and does so again where it is restarted."""

    def read(self, folder: str, workers: int) -> str | None:
        """What keeps the work from being done; None when it is done."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        try:
            missing = list(Output.open(Path(folder)).missing())
        except DataError as error:
            return _where(error)
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
        self._ready: tuple[Output, PictureReader] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """For each of the files, what kept it from being written, or nothing."""
        return {"error": [self._write(int(number)) for number in batch["item"]]}

    def _write(self, number: int) -> str:
        # As a value, for what raises Ray would try again.
        try:
            output, reader = self._ready = self._ready or self._start()
            # Whoever did this before may have died before telling.
            if not output.path(number).exists():
                output.write(number, reader.read(output.paths(number)))
        except DataError as error:
            return _where(error)
        return ""

    def _start(self) -> tuple[Output, PictureReader]:
        output = Output.open(self._folder)
        if output.settings.version != __version__:
            raise DataError(f"mnist-digits {__version__}, expected {output.settings.version} as where the work began")
        return output, PictureReader(output.settings.mode, output.model)


def _where(error: DataError) -> str:
    return f"on {socket.gethostname()}: {error}"
