"""`torchvision:NAME[:FILE]`, or `NAME:FILE`: a classifier of torchvision, with its weights of ImageNet.

Features are what enters its last linear layer. Without FILE torchvision itself takes the weights from its cache, or
downloads them; nothing else does.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from torch import Tensor, nn

from genlib.errors import InputError, one_line, unknown_name
from genlib.evaluation.extractors.image_network import ImageNetwork
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.resizing import Resize, antialiased_bilinear
from genlib.evaluation.extractors.weights import fill_network, name_extractor, read_state_dict

AUX_HEAD_PREFIXES = ("AuxLogits.", "aux1.", "aux2.")  # heads of the inception nets that only training uses
INCEPTION_OPTIONS = {"init_weights": False, "transform_input": True, "aux_logits": False}


def load(argument: str) -> NamedExtractor:
    name, colon, file = argument.partition(":")
    if name not in list_classifiers():
        raise unknown_name("--extractor", name, list_classifiers())
    if colon:
        path = Path(file)
        return name_extractor(build_extractor(name, read_state_dict(path), path), name, "penultimate", path)
    return NamedExtractor(build_extractor(name, _fetch_weights(name), Path(name)).eval(), name, "penultimate")


@cache
def list_classifiers() -> tuple[str, ...]:
    from torchvision import models

    return tuple(models.list_models(module=models))


def _fetch_weights(name: str) -> Mapping[str, Tensor]:
    from torchvision import models

    try:
        found: Mapping[str, Tensor] = models.get_model_weights(name).DEFAULT.get_state_dict(
            progress=True, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # no network, or a file of another hash
        expected = f"its weights from a network or a file: --extractor torchvision:{name}:FILE"
        raise InputError(f"--extractor: got no weights of {name} ({one_line(error)}), expected {expected}") from error
    return found


def build_extractor(name: str, state: Mapping[str, Tensor], path: Path) -> ImageNetwork:
    """With the weights `state`, of the file `path`. Raises InputError where they are not those of the network called
    `name`, or this does not end in a linear layer."""
    from torchvision import models

    net = models.get_model(name, weights=None, **(INCEPTION_OPTIONS if name in ("inception_v3", "googlenet") else {}))
    weights = {key: value for key, value in state.items() if not key.startswith(AUX_HEAD_PREFIXES)}
    fill_network(net, weights, path, name, "its state_dict")
    transform = models.get_model_weights(name).DEFAULT.transforms()
    resize = Resize(antialiased_bilinear, transform.crop_size[0])
    return ImageNetwork(net, _detach_head(net, name), resize, transform.mean, transform.std)


def _detach_head(net: nn.Module, name: str) -> nn.Linear:
    """The last linear layer of `net`, which is replaced by the identity there."""
    linear = {name: module for name, module in net.named_modules() if isinstance(module, nn.Linear)}
    if not linear:
        raise InputError(f"--extractor: got {name}, expected a network that ends in a linear layer")
    path, head = linear.popitem()
    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Identity())
    return head
