"""Weights & Biases: a run of the project `mnist-digits`, sent where one is logged in, else kept in the run's folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_digits.runs import Run
from mnist_digits.training.export.trackers import PROJECT, Beginning, Outcome

DEFAULTS = {
    # It would report its own errors to its makers.
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    # A server that is gone is given up after seconds, not minutes.
    "WANDB_INIT_TIMEOUT": "20",
    "WANDB_FINISH_TIMEOUT": "60",
}
"""Environment variables, unless they are set."""

CREDENTIALS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
"""Variables with which one is logged in, without the file that `wandb login` writes."""

FILES = ("onnx", "model", "card", "report", "recipe", "metrics")
"""Files of the run that its artifact holds."""


def begin(beginning: Beginning) -> "WandbRun":
    """A new run with its parameters, or the one that an interrupted training began."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    import wandb

    mode: Any = os.environ.get("WANDB_MODE") or ("online" if _is_logged_in() else "offline")
    # What it would tell of the machine, the program and its output is none of a tracker's business.
    quiet = wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True)
    begun = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=beginning.name,
        dir=str(beginning.run.folder),
        config=beginning.parameters,
        mode=mode,
        id=beginning.key,
        resume="allow" if beginning.key else None,
        reinit="create_new",
        settings=quiet,
    )
    return WandbRun(begun, beginning.run)


def _is_logged_in() -> bool:
    """Whether there is a key, for without one `wandb` would ask for it."""
    from requests.utils import get_netrc_auth

    address = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    return any(map(os.environ.get, CREDENTIALS)) or get_netrc_auth(address) is not None


class WandbRun:
    """A run in Weights & Biases."""

    def __init__(self, begun: Any, run: Run) -> None:
        """begun: what wandb.init returned."""
        self._begun, self._run = begun, run
        self.key: str = begun.id
        # Without a server it has no address.
        self.where: str = f"wandb sync {os.path.relpath(Path(begun.dir).parent)}" if begun.offline else begun.url

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Log a row of the history, counted from 1."""
        self._begun.log({"epoch": epoch, **row})

    def log_results(self, metrics: Mapping[str, float]) -> None:
        """Log the metrics as the run's summary, its figures, and its models as an artifact."""
        import wandb

        self._begun.summary.update(metrics)
        if figures := sorted(self._run.figures.glob("*.png")):
            self._begun.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in figures})
        artifact = wandb.Artifact(f"model-{self.key}", type="model")
        for path in (getattr(self._run, name) for name in FILES):
            if path.exists():
                artifact.add_file(str(path))
        self._begun.log_artifact(artifact)

    def close(self, outcome: Outcome) -> None:
        """Wait until everything is sent or written."""
        self._begun.finish(exit_code=int(outcome != "finished"))
