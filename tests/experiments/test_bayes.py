"""Class-wise probabilistic PCA against scikit-learn, and through Bayes' rule."""

import numpy as np
import pytest
import torch

from experiments.bayes import fit_ppca
from genlib.metrics.stats.bayes import log_frequencies, normalize_posterior


def test_classwise_ppca_on_digits_through_the_same_rule():
    datasets = pytest.importorskip("sklearn.datasets")
    decomposition = pytest.importorskip("sklearn.decomposition")
    x, y = (torch.from_numpy(part) for part in datasets.load_digits(return_X_y=True))
    x = x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    train, test = slice(0, 1200), slice(1200, None)
    gaussians = [torch.distributions.MultivariateNormal(*fit_ppca(x[train][y[train] == c], 10)) for c in range(10)]
    by_class = torch.stack([gaussian.log_prob(x[test]) for gaussian in gaussians], 1)
    zeros = x[train][y[train] == 0]
    theirs = decomposition.PCA(10).fit(zeros.numpy()).score_samples(x[test].numpy())
    assert np.corrcoef(theirs, by_class[:, 0].numpy())[0, 1] > 0.999
    found = normalize_posterior(by_class, log_frequencies(y[train], 10)).argmax(1)
    assert (found == y[test]).double().mean() > 0.93
