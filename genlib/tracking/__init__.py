"""Run folders, the record of what runs produce; their publishing to MLflow; the model registry."""
