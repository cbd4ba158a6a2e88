"""Generators -> MLflow's model registry, as graphs of `torch.export`, which are loaded without unpickling.

The graph maps codes to images (a conditional model reads the class as one more number) and has a signature for `mlflow
models serve`. Tags give the origin, and why a version was promoted or not.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.metrics.differences import DIFFERENCE_DETAILS
from genlib.metrics.result import MetricResult
from genlib.tracking.mlflow import connect, ensure_experiment
from genlib.tracking.run_folder import WEIGHTS_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from torch import Tensor, nn

CHAMPION_ALIAS = "champion"
RESULTS_TAG, CLASSIFIER_TAG, PROMOTED_TAG = "genlib.measures", "genlib.judge_sha256", "genlib.promoted"
REASON_TAG = "genlib.reason."
NUM_EXAMPLES = 3  # images in the example: with 0 or 1, torch.export would fix their number


class ModelRegistry:
    """The versions of one name."""

    def __init__(self, uri: str, project_dir: Path, name: str) -> None:
        self.client: MlflowClient = connect(uri, project_dir)
        self.uri, self.project_dir, self.name = uri, project_dir, name

    def champion(self) -> tuple[str, Mapping[str, str]] | None:
        """The version that has the alias, and its tags."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_model_version_by_alias(self.name, CHAMPION_ALIAS)
        except MlflowException:
            return None
        return str(found.version), found.tags

    def find_version(self, weights_sha256: str) -> str | None:
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return next((str(each.version) for each in found if each.tags.get(WEIGHTS_TAG) == weights_sha256), None)

    def set_tags(self, version: str, tags: Mapping[str, str], reasons: Sequence[str]) -> None:
        """Write tags on a version, and reasons in the place of earlier ones."""
        for key in self.client.get_model_version(self.name, version).tags:
            if key.startswith(REASON_TAG):
                self.client.delete_model_version_tag(self.name, version, key)
        numbered = {f"{REASON_TAG}{number}": reason for number, reason in enumerate(reasons, 1)}
        for key, value in {**tags, **numbered}.items():
            self.client.set_model_version_tag(self.name, version, key, value)

    def set_champion(self, version: str) -> None:
        self.client.set_registered_model_alias(self.name, CHAMPION_ALIAS, version)

    def add_version(
        self,
        model: nn.Module,
        files: Sequence[Path],
        run_name: str,
        experiment: str,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
    ) -> str:
        """Log the model, `files` and metrics by a run of their own, and register it; returns the version."""
        import mlflow
        from mlflow.models import infer_signature

        example, graph = example_input(model), as_served_module(model)
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        mlflow.set_tracking_uri(self.uri)
        experiment_id = ensure_experiment(self.client, experiment, self.project_dir)
        run = self.client.create_run(experiment_id, tags=dict(tags), run_name=run_name)
        with warnings.catch_warnings(), mlflow.start_run(run_id=run.info.run_id):
            warnings.simplefilter("ignore")
            logged = mlflow.pytorch.log_model(
                graph,
                name="generator",
                input_example=example.numpy(),
                signature=infer_signature(example.numpy(), graph(example).detach().numpy()),
                serialization_format="pt2",
                registered_model_name=self.name,
                pip_requirements=["torch", "numpy"],
            )
            mlflow.log_metrics(dict(metrics), step=0, model_id=logged.model_id)
            for path in files:
                mlflow.log_artifact(str(path), "model_folder")
        return str(logged.registered_model_version)


def example_input(model: Any) -> Tensor:
    """Codes of a standard normal; of a conditional model with the classes 0, 1, ... as a last column."""
    import torch

    from genlib.data.random import seeded_generator

    z = torch.randn(NUM_EXAMPLES, model.latent, generator=seeded_generator(0, "example"))
    if not getattr(model, "conditional", False):
        return z
    return torch.cat([z, (torch.arange(NUM_EXAMPLES) % model.classes).float()[:, None]], 1)


def as_served_module(model: Any) -> nn.Module:
    """The module [n, latent, or latent + 1 with the class] -> images [n, C, H, W] in [-1, 1]."""
    import torch
    from torch import nn

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, codes_and_labels: Tensor) -> Tensor:
            z, labels = codes_and_labels[:, : model.latent], codes_and_labels[:, model.latent :]
            images: Tensor = self.model.decode_image(z, *([labels[:, 0].long()] if labels.shape[1] else []))
            return images.to(torch.float32)

    return Generator().eval()


def results_to_tag(results: Mapping[str, MetricResult]) -> str:
    """The results with those details alone that a difference from them needs."""
    return json.dumps({name: asdict(_for_differences(result)) for name, result in results.items()})


def _for_differences(result: MetricResult) -> MetricResult:
    return replace(result, detail={key: part for key, part in result.detail.items() if key in DIFFERENCE_DETAILS})


def results_from_tags(tags: Mapping[str, str]) -> dict[str, MetricResult]:
    return {name: MetricResult(**parts) for name, parts in json.loads(tags.get(RESULTS_TAG, "{}")).items()}
