"""Where studies are kept: a SQLite file on one machine, a PostgreSQL server for many."""

import copy
import functools
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
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback, _CachedStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from mnist_digits.errors import DataError, UsageError
from mnist_digits.runs import RUNS

DEFAULT_STORAGE = f"sqlite:///{RUNS / 'tuning.db'}"
"""One file for all studies, below the current folder. SQLite loses nothing to kill -9 or a power cut."""

HEARTBEAT_S = 5
"""Seconds between a worker's heartbeats."""
STALE_AFTER_S = 30
"""Seconds without a heartbeat until a worker counts as dead, and its trial is queued anew."""
MAX_RETRIES = 5
"""How often a trial is queued anew; then it is given up, as it may be what kills its workers."""
CONNECT_TIMEOUT_S = 10
"""Seconds until a server must have answered when a storage is opened."""
LOCK_TIMEOUT_S = 60
"""Seconds until another process's transaction of a SQLite file must have ended."""
OUTAGE_TIMEOUT_S = 600
"""Seconds until a database that stops answering must answer again."""
RETRY_INTERVAL_S = 1.0
"""Seconds between two attempts of a call while it does not."""

WORKER = "worker"
"""User attribute of a trial: the name of the worker that trains it."""
CREATOR = "creator"
"""User attribute of a trial that was not queued: the name of the worker that created it, to train it."""

Result = TypeVar("Result")
OnWait = Callable[[str], None]
"""Called with the reason whenever a database stops answering."""


@contextmanager
def without_experimental_warnings() -> Iterator[None]:
    """Silence Optuna's notice that heartbeats and its Matplotlib figures are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


class StudyStorage(_CachedStorage):
    """Optuna's storage with two guarantees more: calls outlast an outage, and every dead worker's trial is found.

    Every call is repeated while the database does not answer; it raises DataError when it has not for
    OUTAGE_TIMEOUT_S, or never will. A call whose answer was lost is repeated although it took effect: a trial may
    have been created twice or be running without a worker, which `_get_stale_trial_ids` and `Study.run_next` handle.
    Optuna itself repeats nothing, and its heartbeat thread ends with the first call that fails.
    """

    def __init__(self, database: RDBStorage, on_wait: OnWait | None = None) -> None:
        """database: as Optuna opens it."""
        super().__init__(database)
        self.engine = database.engine
        self.contact_since = time.monotonic()
        """When the database answered again after its last outage, or when it was opened."""
        self.dead_workers: set[str] = set()
        """Names of workers that are known to have ended."""
        self.worker: str | None = None
        """Name of the worker that creates trials through this object."""
        self._on_wait = on_wait
        self._unclaimed_since: dict[int, float] = {}
        others = ("get_trial_id_from_study_id_trial_number", "record_heartbeat", "_get_stale_trial_ids")
        for name in (*BaseStorage.__abstractmethods__, *others):
            setattr(self, name, functools.partial(self._repeat, getattr(self, name)))

    def _repeat(self, call: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        began: float | None = None
        while True:
            try:
                return call(*arguments, **options)
            except (SQLAlchemyError, StorageInternalError) as error:
                self.contact_since = time.monotonic()
                if began is None:
                    began = self.contact_since
                    if self._on_wait and may_pass(error):
                        self._on_wait(reason(error))
                if not may_pass(error) or self.contact_since - began > OUTAGE_TIMEOUT_S:
                    raise DataError(
                        f"the study's storage failed: {reason(error)}; mend it: the same command then goes on"
                    ) from error
            time.sleep(RETRY_INTERVAL_S)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial; one without a template runs, and names its creator."""
        if template_trial is None and self.worker is not None:
            # In the same transaction: of a worker that was killed before it could claim the trial, it is known that
            # the trial is dead, too.
            template_trial = create_trial(state=TrialState.RUNNING, user_attrs={CREATOR: self.worker})
        return super().create_new_trial(study_id, template_trial)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """Running trials whose worker is dead; Optuna marks them as failed and calls `requeue`.

        Optuna finds those with an old heartbeat. Besides them: those of `dead_workers`, and those that no worker has
        claimed for STALE_AFTER_S, because it died or lost the database's answer before its first heartbeat.
        """
        now = time.monotonic()
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        workers = {trial._trial_id: {trial.user_attrs.get(name) for name in (WORKER, CREATOR)} for trial in running}
        dead = {trial for trial, names in workers.items() if names & self.dead_workers}
        unclaimed = [trial._trial_id for trial in running if WORKER not in trial.user_attrs]
        self._unclaimed_since = {trial: self._unclaimed_since.get(trial, now) for trial in unclaimed}
        # After an outage every heartbeat is old: the workers first get the time to send one.
        if now - self.contact_since >= STALE_AFTER_S:
            dead.update(trial for trial, since in self._unclaimed_since.items() if now - since >= STALE_AFTER_S)
            dead.update(super()._get_stale_trial_ids(study_id))
        return sorted(dead)


def requeue(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a failed trial anew, with its values and the results of its epochs, up to MAX_RETRIES times."""
    trial = copy.deepcopy(trial)
    trial.user_attrs = {}
    with without_experimental_warnings():
        RetryHeartbeatStaleTrialCallback(MAX_RETRIES, inherit_intermediate_values=True)(study, trial)


def open_storage(address: str | None = None, *, create: bool = True, on_wait: OnWait | None = None) -> StudyStorage:
    """The database of that address, with Optuna's tables in it.

    address: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`; None for DEFAULT_STORAGE. create: make a
    SQLite file that is not there. Raises UsageError for another kind of address, DataError when the database cannot
    be reached within CONNECT_TIMEOUT_S, is damaged, or cannot be written.
    """
    url = _parse(address or DEFAULT_STORAGE)
    shown = url.render_as_string(hide_password=True)
    if url.drivername == "sqlite":
        _prepare_file(Path(url.database or ""), create)
        options: dict[str, Any] = {"connect_args": {"timeout": LOCK_TIMEOUT_S}}
    else:
        # Missing, it is reported like any other extra.
        importlib.import_module("psycopg")
        options = {"connect_args": {"connect_timeout": CONNECT_TIMEOUT_S}, "pool_pre_ping": True}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        database = _connect(url.render_as_string(hide_password=False), options)
        if url.drivername == "sqlite":
            _serialise_transactions(database.engine)
        return StudyStorage(database, on_wait)
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
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            with without_experimental_warnings():
                return RDBStorage(
                    url,
                    options,
                    heartbeat_interval=HEARTBEAT_S,
                    grace_period=STALE_AFTER_S,
                    heartbeat_stale_trial_callback=requeue,
                )
        except SQLAlchemyError as error:
            # Processes that begin at once all create the tables: all but the first fail, and find them a little later.
            signs = ("already exists", "duplicate key", "UNIQUE constraint", "locked")
            if time.monotonic() > deadline or not any(sign in reason(error) for sign in signs):
                raise
            time.sleep(0.5)


def _serialise_transactions(engine: sqlalchemy.Engine) -> None:
    """Let each transaction of a SQLite file begin when the one before has ended.

    Optuna reads a trial's state and then writes it, and relies on the database to let nobody in between. Python's
    module, by default, begins a transaction only at the first write: two workers would take the same trial.
    """
    sqlalchemy.event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    sqlalchemy.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    # Connections that are open already have not seen the event.
    engine.dispose()


def _find_cause(error: BaseException) -> DBAPIError | None:
    """The error of the database's driver that led to this one; None when there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DBAPIError):
        # A session that was cut off fails again when it is used, and then has the first failure as its context only.
        cause = cause.__cause__ or cause.__context__
    return cause


def reason(error: BaseException) -> str:
    """The database's own message, on one line; never the address, which may hold a password."""
    cause = _find_cause(error)
    return " ".join(str(cause.orig if cause else error).split())


def _remedy(error: BaseException) -> str:
    message = reason(error)
    if "not a database" in message or "malformed" in message:
        return "it is damaged: restore it from a copy, or move it away"
    if "readonly" in message or "unable to open" in message or "locked" in message:
        return "make it writable, or name another --storage"
    return "start the server, or mend the address in --storage"


def may_pass(error: BaseException) -> bool:
    """Whether a database that failed so may answer again: a server that restarts, a file that is locked."""
    cause = _find_cause(error)
    if cause is None:
        return False
    if isinstance(cause.orig, sqlite3.Error):
        return "locked" in str(cause.orig)
    return isinstance(cause, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError)
