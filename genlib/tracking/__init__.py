"""Run folders, publishing to MLflow, the model registry."""
