"""Where studies are kept: a SQLite file on one machine, a PostgreSQL server for many."""

import copy
import importlib
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from mnist_digits.errors import DataError, UsageError
from mnist_digits.runs import RUNS

DEFAULT_STORAGE = f"sqlite:///{RUNS / 'tuning.db'}"
"""One file for all studies, below the current folder. SQLite loses nothing to kill -9 or a power cut."""

HEARTBEAT, GRACE = 5, 30
"""Seconds between a worker's signs of life, and without one until its trial is given to another."""
RETRIES = 5
"""How often a trial is begun anew before it is given up: it may be what kills its workers."""
CONNECT_TIMEOUT, LOCK_TIMEOUT, PATIENCE = 10, 60, 600
"""Seconds: until a server must answer at the start, for another's write to end, and for a server to come back."""

Result = TypeVar("Result")


@contextmanager
def without_notices() -> Iterator[None]:
    """Optuna says of heartbeats that they are experimental, and of `ask` that it does not send them: we do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage", UserWarning)
        yield


def requeue(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a failed trial anew, with its values and what is known of its epochs; given up after RETRIES."""
    trial = copy.deepcopy(trial)
    # It is nobody's any more.
    trial.user_attrs = {}
    with without_notices():
        RetryHeartbeatStaleTrialCallback(RETRIES, inherit_intermediate_values=True)(study, trial)


def open_storage(address: str | None = None, *, create: bool = True) -> RDBStorage:
    """The database of that address, with Optuna's tables in it.

    address: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`; None for DEFAULT_STORAGE. create: make a
    SQLite file that is not there. Raises UsageError for another kind of address, DataError when the database cannot
    be reached within CONNECT_TIMEOUT, is damaged, or cannot be written.
    """
    url = _parse(address or DEFAULT_STORAGE)
    shown = url.render_as_string(hide_password=True)
    if url.drivername == "sqlite":
        _prepare_file(Path(url.database or ""), create)
        options: dict[str, Any] = {"connect_args": {"timeout": LOCK_TIMEOUT}}
    else:
        # Missing, it is reported like any other extra.
        importlib.import_module("psycopg")
        options = {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}, "pool_pre_ping": True}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = _connect(url.render_as_string(hide_password=False), options)
        if url.drivername == "sqlite":
            _one_at_a_time(storage.engine)
        return storage
    except (SQLAlchemyError, StorageInternalError) as error:
        raise DataError(f"{shown}: {reason(error)}; expected a database for studies: {_remedy(error)}") from error
    except RuntimeError as error:
        raise DataError(f"{shown}: made by another version of Optuna; name another --storage") from error


def _parse(address: str) -> sqlalchemy.URL:
    try:
        url = sqlalchemy.make_url(address)
    except ArgumentError:
        url = None
    scheme = url.drivername.split("+")[0] if url else ""
    if url is None or scheme not in ("sqlite", "postgresql", "postgres"):
        raise UsageError(
            f"--storage {scheme or address}: expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
        )
    if scheme != "sqlite":
        return url.set(drivername="postgresql+psycopg")
    if url.database in (None, "", ":memory:"):
        raise UsageError(f"--storage {address}: expected a file, which workers can share: sqlite:///FILE")
    return url.set(drivername="sqlite")


def _prepare_file(path: Path, create: bool) -> None:
    if not path.exists() and not create:
        raise DataError(f"{path}: no such file; expected the studies of `digits tune`: name their --storage")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name a file that can be written with --storage") from error


def _connect(url: str, options: dict[str, Any]) -> RDBStorage:
    for _ in range(10):
        try:
            with without_notices():
                return RDBStorage(
                    url,
                    options,
                    heartbeat_interval=HEARTBEAT,
                    grace_period=GRACE,
                    heartbeat_stale_trial_callback=requeue,
                )
        except SQLAlchemyError as error:
            # Two machines that begin at once both make the tables.
            if not ("exist" in reason(error) or "duplicate key" in reason(error)):
                raise
            time.sleep(0.5)
    raise DataError("the database's tables cannot be made; expected an empty database: make another one")


def _one_at_a_time(engine: sqlalchemy.Engine) -> None:
    """Let each transaction of a SQLite file begin when the one before has ended.

    Optuna reads a trial's state and then writes it, and trusts the database to let nobody in between. Python's
    module, left to itself, begins a transaction only at the first write: two workers would take the same trial.
    """
    sqlalchemy.event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    sqlalchemy.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    # What is connected already was not told.
    engine.dispose()


def _find_cause(error: BaseException) -> DBAPIError | None:
    """What the database's driver raised in the first place, if it was that."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DBAPIError):
        # A session that was cut off fails again when it is used, and then only has the first failure for its context.
        cause = cause.__cause__ or cause.__context__
    return cause


def reason(error: BaseException) -> str:
    """What the database itself said, on one line; never the address, which may hold a password."""
    cause = _find_cause(error)
    return " ".join(str(cause.orig if cause else error).split())


def _remedy(error: BaseException) -> str:
    said = reason(error)
    if "not a database" in said or "malformed" in said:
        return "it is damaged: restore it from a copy, or move it away"
    if "readonly" in said or "unable to open" in said or "locked" in said:
        return "make it writable, or name another --storage"
    return "start the server, or mend the address in --storage"


def may_pass(error: BaseException) -> bool:
    """Whether a database that failed so may answer again: a server that restarts, a file that another writes to."""
    cause = _find_cause(error)
    if cause is None:
        return False
    if isinstance(cause.orig, sqlite3.Error):
        return "locked" in str(cause.orig)
    return isinstance(cause, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError)


class Patience:
    """Calls of a storage that wait while it does not answer, and know since when it has."""

    def __init__(self, waiting: Callable[[str], None] | None = None) -> None:
        """waiting: called with the reason, once, whenever waiting begins."""
        self._waiting = waiting
        self.contact_since = time.monotonic()

    def __call__(self, call: Callable[[], Result]) -> Result:
        """What the call returns, made again each second while the storage does not answer.

        Raises DataError when it has not for PATIENCE seconds, or never will.
        """
        began: float | None = None
        while True:
            try:
                return call()
            except (SQLAlchemyError, StorageInternalError) as error:
                self.contact_since = time.monotonic()
                if began is None:
                    began = self.contact_since
                    if self._waiting and may_pass(error):
                        self._waiting(reason(error))
                if not may_pass(error) or self.contact_since - began > PATIENCE:
                    raise DataError(
                        f"the study's storage failed: {reason(error)}; mend it: the same command then goes on"
                    ) from error
            time.sleep(1)
