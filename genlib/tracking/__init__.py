"""Where numbers go: written to a local journal at once, sent to MLflow when it answers."""
