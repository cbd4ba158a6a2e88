"""`genlib explore`: one picture per tool of figures/latent_tools.py."""

from pathlib import Path

from safetensors.torch import save_file

from genlib.data.dataset import load_dataset
from genlib.data.images import to_pixels, write_grid
from genlib.errors import InputError, unknown_name
from genlib.figures.latent_tools import MAX_TRAIN_CODES, TOOLS, ImageGrid, Unsupported
from genlib.files import make_folder
from genlib.latent import LatentSpace
from genlib.metrics.inputs import stratified_order
from genlib.registry import load, read_model_config

DEFAULT_OUT = Path("runs/explore")


def explore(model: Path, data: Path, out: Path | None, what: str | None, seed: int, count: int) -> None:
    """Draw a model's latent space, one picture per tool."""
    if count < 1:
        raise InputError(f"--count: got {count}, expected a whole number of at least 1")
    names = list(TOOLS) if what is None else what.split(",")
    for name in names:
        if name not in TOOLS:
            raise unknown_name("--what", name, TOOLS)
    space = _load_latent_space(model, data, seed, count)
    folder = make_folder(out or DEFAULT_OUT / model.resolve().name, "--out")
    for name in dict.fromkeys(names):
        try:
            _save_grid(TOOLS[name](space), folder / name)
        except Unsupported as reason:
            print(f"{name}: left out, {reason}")


def _load_latent_space(model: Path, data: Path, seed: int, count: int) -> LatentSpace:
    """The model in its folder, and images of the kind it was trained on; held-out ones in the mix of their classes."""
    network, config, dataset = load(model), read_model_config(model), load_dataset(data)
    if not hasattr(network, "decode_image"):
        name = config["model"]["name"]
        raise InputError(f"{model}: got {name}, which has no codes, expected a model with decode_image(z)")
    made_for, found = (tuple(config["shape"]), config["classes"]), (dataset.shape, len(dataset.classes))
    if made_for != found:
        raise InputError(f"{data}: got shape and classes {found}, expected those of the model, {made_for}")
    order = stratified_order(dataset.test.labels, len(dataset.test), seed)
    return LatentSpace(network, dataset.test[order[:count]], dataset.train[:MAX_TRAIN_CODES], seed)


def _save_grid(image_grid: ImageGrid, path: Path) -> None:
    picture, codes = path.with_suffix(".png"), path.with_suffix(".safetensors")
    write_grid(to_pixels(image_grid.images), picture, image_grid.columns)
    print(f"{picture}: {image_grid.caption}")
    if image_grid.tensors:
        save_file({name: tensor.contiguous() for name, tensor in image_grid.tensors.items()}, codes)
        print(f"{codes}: {', '.join(image_grid.tensors)}")
