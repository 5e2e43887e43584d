"""MLflow: a run of the experiment `mnist-digits`, in the store that `MLFLOW_TRACKING_URI` names."""

import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_digits.runs import Run
from mnist_digits.training.export.trackers import PROJECT, Beginning, Outcome

DEFAULTS = {
    # It would report how it is used.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A server that is gone is given up after seconds, not minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Environment variables, unless they are set."""

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")

STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}

FILES = ("recipe", "environment", "history", "metrics", "report", "card", "model")
"""Files of the run that are kept beside figures and ONNX model."""


def begin(beginning: Beginning) -> "MlflowRun":
    """A new run with its parameters, or the one that an interrupted training began."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient, get_tracking_uri
    from mlflow.entities import Param

    # It tells of every table of a new store.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    _check_database(get_tracking_uri())
    client = MlflowClient()
    if beginning.key and (found := _unfinished(client, beginning.key)):
        return MlflowRun(client, found, beginning.run)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    known = client.get_experiment_by_name(name)
    experiment = known.experiment_id if known else client.create_experiment(name)
    created = client.create_run(experiment, run_name=beginning.name, tags={"mlflow.source.name": "digits train"})
    client.log_batch(created.info.run_id, params=[Param(key, str(one)) for key, one in beginning.parameters.items()])
    return MlflowRun(client, created, beginning.run)


def _check_database(address: str) -> None:
    """Open the store, if it is a database: MLflow would try for two minutes to open one that cannot be."""
    if address.split(":")[0].split("+")[0] in DATABASES:
        from sqlalchemy import create_engine

        create_engine(address).connect().close()


def _unfinished(client: Any, key: str) -> Any:
    """The run of this key, if it is there still."""
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(key, status="RUNNING")
        return client.get_run(key)
    except MlflowException:
        return None


class MlflowRun:
    """A run in MLflow."""

    def __init__(self, client: Any, created: Any, run: Run) -> None:
        """created: MLflow's entity of it."""
        self._client, self._run = client, run
        self.key: str = created.info.run_id
        self.where = f"run {created.info.run_name} in {client.tracking_uri}"

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Log a row of the history, counted from 1."""
        self._log(row, epoch)

    def log_results(self, metrics: Mapping[str, float]) -> None:
        """Log the metrics, figures, report and files, and the model as one that MLflow can load and serve."""
        self._log(metrics, 0)
        for path in (getattr(self._run, name) for name in FILES):
            if path.exists():
                self._client.log_artifact(self.key, str(path))
        if self._run.figures.exists():
            self._client.log_artifacts(self.key, str(self._run.figures), self._run.figures.name)
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            _save_model(self._run.onnx, model)
            self._client.log_artifacts(self.key, str(model), "model")

    def close(self, outcome: Outcome) -> None:
        """Say how it ended."""
        self._client.set_terminated(self.key, STATUS[outcome])

    def _log(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self.key, metrics=metrics)


def _save_model(onnx_file: Path, folder: Path) -> None:
    """Write the folder of a model in MLflow's form."""
    import mlflow.onnx
    import numpy as np
    import onnx
    import onnxruntime
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = TensorSpec(np.dtype("uint8"), (-1, 28, 28), "images")
    probabilities = TensorSpec(np.dtype("float32"), (-1, 10), "probabilities")
    mlflow.onnx.save_model(
        onnx.load(onnx_file),
        folder,
        signature=ModelSignature(Schema([images]), Schema([probabilities])),
        # Otherwise MLflow loads the model in another process to see what that imports.
        pip_requirements=[f"onnxruntime=={onnxruntime.__version__}", f"numpy=={np.__version__}"],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
