"""No test tells the tracking server of whoever runs it."""

import os

os.environ.pop("MLFLOW_TRACKING_URI", None)
