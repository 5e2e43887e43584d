"""make_models: the networks that come with the package, from nothing; and `install`, their way into it."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mnist_digits
from mnist_digits import __version__
from mnist_digits.dataset import Dataset, load_mnist, write_idx
from mnist_digits.errors import DataError, UsageError
from mnist_digits.evaluation.rendering import render
from mnist_digits.files import atomic_write, read_json, sole_use, write_json, write_text
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.recipes import Recipe, find_recipe
from mnist_digits.training.shipped.ledger import Ledger
from mnist_digits.training.train import Announce, Progress, train_seeds

PACKAGE = Path(mnist_digits.__file__).parent
DESTINATIONS = {
    "digits.onnx": "recognition/models/digits.onnx",
    "digits.md": "recognition/models/digits.md",
    "detector.onnx": "recognition/models/detector.onnx",
    "detector.md": "recognition/models/detector.md",
    "dense.npz": "serving/page/models/dense.npz",
    "page.md": "serving/page/models/README.md",
}
"""Each file that is made, and its place in the package."""
NETWORKS = {
    "reader": ("digits.onnx", "digits.md"),
    "detector": ("detector.onnx", "detector.md"),
    "dense-plus": ("dense.npz", "page.md"),
}
"""Each network's name in the ledger, its file and its card."""
RESULTS, LEDGER = "models.json", "making.json"
UNDISTORTED = dict.fromkeys(("rotation", "scaling", "shear", "translation", "elastic"), 0.0)
TINY: dict[str, dict[str, Any]] = {
    "dense-plus": {"epochs": 1},
    "reader": {"network": "tiny", "epochs": 2, "synthetic_copies": 1, "corruption": 0.0, **UNDISTORTED},
}
"""What `tiny` changes in each recipe."""
TINY_PAGES = 16


@dataclass(frozen=True)
class Job:
    """What is to be made, and where."""

    folder: Path
    data: Dataset
    seed: int = 0
    minutes: float | None = None
    """A budget, kept by fewer epochs, synthetic pictures and composed pages; None trains in full."""
    tiny: bool = False
    """As little as shows that it works."""
    only: tuple[str, ...] = tuple(NETWORKS)
    """Names of the networks to make."""


def make_models(job: Job, report: Callable[[str], None], announce: Announce | None = None) -> dict[str, Any]:
    """Train the job's networks, by default the page's, the classifier and the detector; returns what is in RESULTS.

    The job's folder gets the files in DESTINATIONS and RESULTS, the runs, and the composed pages; the same call goes on
    with an interrupted one after its last finished epoch. report: called with a line of progress. announce: as in
    `train_seeds`. Raises UsageError when the folder was begun otherwise, DataError when it cannot be written, and what
    `train_seeds` raises.
    """
    if job.minutes is not None and not job.minutes > 0:
        raise UsageError(f"{job.minutes:g} minutes: expected more than 0")
    unknown = [name for name in job.only if name not in NETWORKS]
    if unknown:
        raise UsageError(f"{unknown[0]}: no network of the package; expected {', '.join(NETWORKS)}")
    backend.check_installed()
    asked = {
        "seed": job.seed,
        "minutes": job.minutes,
        "tiny": job.tiny,
        "only": [name for name in NETWORKS if name in job.only],
        "backend": backend.chosen_backend(),
    }
    with sole_use(job.folder / LEDGER):
        making = _Making(_with_few_images(job) if job.tiny else job, report, announce, asked)
        # In the order of the ledger's shares.
        for name, make in (
            ("dense-plus", making.make_page_network),
            ("reader", making.make_reader),
            ("detector", making.make_detector),
        ):
            if name in job.only:
                make()
        write_json(job.folder / RESULTS, making.results())
    return {"folder": str(job.folder), **read_json(job.folder / RESULTS)}


def install(folder: Path, package: Path = PACKAGE) -> list[Path]:
    """Copy finished models into the package, with their cards; returns where to.

    Raises DataError when one is missing, UsageError when they were made with `tiny`.
    """
    if not (folder / RESULTS).exists():
        raise DataError(f"{folder}: has no {RESULTS}; expected finished models: make them first")
    made = read_json(folder / RESULTS)
    files = [name for network in made["training"] for name in NETWORKS[network]]
    for name in files:
        if not (folder / name).exists():
            raise DataError(f"{folder}: has no {name}; expected finished models: make them first")
    if made["tiny"]:
        raise UsageError(f"{folder}: made with --tiny, which only shows that it works; make others to install them")
    return [_copy(folder / name, package / DESTINATIONS[name]) for name in files]


class _Making:
    """The making of a job's models, one after another."""

    def __init__(
        self, job: Job, report: Callable[[str], None], announce: Announce | None, asked: dict[str, Any]
    ) -> None:
        self.job, self.report, self.announce = job, report, announce
        self.ledger = Ledger(job.folder / LEDGER, asked)

    def make_page_network(self) -> None:
        """The simple network that the page shows, from a run of `dense-plus`, with its card."""
        if self._has("dense-plus"):
            return
        run = self._train("dense-plus")
        from mnist_digits.training.export.page_network import export_dense

        export_dense(run, self.job.folder)
        card = render("page_network.md.jinja", seed=self.job.seed, metrics=read_json(run.metrics))
        write_text(self.job.folder / "page.md", card)

    def make_reader(self) -> None:
        """The classifier, from a run of `reader`, with its card."""
        if self._has("reader"):
            return
        run = self._train("reader")
        _copy(run.onnx, self.job.folder / "digits.onnx")
        _copy(run.card, self.job.folder / "digits.md")

    def make_detector(self) -> None:
        """The detector, from composed pages, and its card."""
        if self._has("detector"):
            return
        path = self.job.folder / "detector.onnx"
        backend.start_keras()
        from mnist_digits.training.shipped import detector

        def report(line: str) -> None:
            self.ledger.tick("detector")
            self.report(f"detector: {line}")

        decided = self.ledger.decide("detector", lambda: self._fit_detector(report))
        # JSON knows no tuples.
        decided = {name: tuple(value) if isinstance(value, list) else value for name, value in decided.items()}
        recipe = detector.DetectorRecipe(**decided)
        if not path.exists():
            folder = self.job.folder / "detector"
            detector.train(self.job.data, path, recipe, self.job.seed, report, folder=folder)
        self.ledger.tick("detector")
        content = {
            "recipe": asdict(recipe),
            "parameters": detector.build(recipe).count_params(),
            "seed": self.job.seed,
            "loss": _metadata(path)["validation_loss"],
            "unseen": min(detector.VALIDATION_PAGES, recipe.pages),
            "minutes": self.ledger.seconds["detector"] / 60,
            "environment": backend.describe_environment(),
        }
        write_text(self.job.folder / "detector.md", render("detector_card.md.jinja", **content))

    def _train(self, name: str) -> Run:
        """The finished run of a recipe, or as much of it as the budget allows."""
        recipe = Recipe.from_json(self.ledger.decide(name, lambda: self._fit_recipe(name).to_json()))

        def announce(run: Run) -> Progress:
            tell = self.announce(run) if self.announce else lambda epoch, row: None

            def on_epoch(epoch: int, row: dict[str, float]) -> None:
                self.ledger.tick(name)
                tell(epoch, row)

            return on_epoch

        train_seeds(recipe, self.job.data, 1, self._series(name), self.job.seed, announce=announce)
        self.ledger.tick(name)
        return self._run(name)

    def _fit_recipe(self, name: str) -> Recipe:
        """The recipe by that name, shortened as the job asks for."""
        recipe, seconds = find_recipe(name), self.ledger.time_left(name)
        if self.job.tiny:
            return replace(recipe, **TINY[name])
        if seconds is None:
            return recipe
        self.report(f"{name}: measuring how much of it is done in {seconds:.0f} s")
        backend.start_keras()
        from mnist_digits.training.shipped import budget

        fit = budget.fit_reader if recipe.can_reject else budget.fit_recipe
        return fit(recipe, self.job.data, seconds)

    def _fit_detector(self, report: Callable[[str], None]) -> dict[str, Any]:
        """The detector's recipe as JSON, shortened as the job asks for."""
        from mnist_digits.training.shipped import detector

        recipe, seconds = detector.DetectorRecipe(), self.ledger.time_left("detector")
        if self.job.tiny:
            recipe = replace(recipe, pages=TINY_PAGES, epochs=1)
        elif seconds is not None:
            report(f"measuring how much is done in {seconds:.0f} s")
            from mnist_digits.training.shipped import budget

            recipe = budget.fit_detector(recipe, self.job.data.train, seconds)
        return asdict(recipe)

    def results(self) -> dict[str, Any]:
        """What was made, as in RESULTS."""
        # Nothing else does where all networks were made before.
        backend.start_keras()
        return {
            "version": __version__,
            **{name: getattr(self.job, name) for name in ("seed", "minutes", "tiny")},
            "environment": backend.describe_environment(),
            "training": self.ledger.training,
            "models": [self._described(name) for name in NETWORKS if name in self.job.only],
        }

    def _described(self, network: str) -> dict[str, Any]:
        """A network's file, size, seconds and how good it is."""
        path = self.job.folder / NETWORKS[network][0]
        if network == "detector":
            figure = {"validation_loss": float(_metadata(path)["validation_loss"])}
        else:
            figure = {"test_accuracy": read_json(self._run(network).metrics)["test"]["accuracy"]}
        return {
            "file": path.name,
            "bytes": path.stat().st_size,
            "seconds": self.ledger.seconds[network],
            **figure,
        }

    def _has(self, network: str) -> bool:
        """Whether it and its card were made."""
        return all((self.job.folder / name).exists() for name in NETWORKS[network])

    def _series(self, name: str) -> Path:
        return self.job.folder / "runs" / name

    def _run(self, name: str) -> Run:
        return Run(self._series(name) / f"seed-{self.job.seed}")


def _with_few_images(job: Job) -> Job:
    """The same job on a few of its images, which are written into its folder: reports load them from there."""
    folder = job.folder / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for part, split, count in (("train", job.data.train, 360), ("t10k", job.data.test, 100)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", split.images[:count])
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", split.labels[:count])
    return replace(job, data=load_mnist(folder))


def _metadata(path: Path) -> dict[str, str]:
    """What a model's file says of itself."""
    import onnx

    return {one.key: one.value for one in onnx.load(path).metadata_props}


def _copy(source: Path, target: Path) -> Path:
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)
    return target
