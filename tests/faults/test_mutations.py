"""There are four hundred mutations, each with its own name."""

from tests.faults import (
    test_bad_answers,
    test_bad_arrays,
    test_bad_checkpoints,
    test_bad_data,
    test_bad_images,
    test_bad_model_folders,
    test_bad_params,
    test_bad_parquet,
    test_bad_run_folders,
)

COUNTS = {
    test_bad_params: 81,
    test_bad_checkpoints: 40,
    test_bad_model_folders: 30,
    test_bad_data: 30,
    test_bad_images: 30,
    test_bad_arrays: 87,
    test_bad_parquet: 47,
    test_bad_run_folders: 40,
    test_bad_answers: 19,
}


def test_there_are_four_hundred():
    assert {module: len(module.MUTATIONS) for module in COUNTS} == COUNTS
    assert sum(COUNTS.values()) >= 400


def test_names_are_unique():
    for module in COUNTS:
        assert len({mutation.name for mutation in module.MUTATIONS}) == len(module.MUTATIONS)
