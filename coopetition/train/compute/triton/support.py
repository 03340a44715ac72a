"""What the fused step serves."""

from __future__ import annotations

import importlib.util
import os

from ....settings.training import NetworkSettings, OptimisationSettings
from ...network.network import Network
from ...optimisation.decay import kind_of

WIDTHS = (16, 32, 64, 128, 256)
MOST_TOKENS = 64
MOST_INPUTS = 1_024
# precision of a run's matrix products: what the kernels' products are told
PRECISIONS = {"fp32": "ieee", "tf32x3": "tf32x3", "tf32": "tf32", "bf16": "bf16"}


def why_not_fused(network: Network, settings: OptimisationSettings) -> str:
    """Why the fused step does not serve; empty where it does.

    Parameters
    ----------
    network
        Where it is to be trained.
    settings
        Any member's.
    """
    return (
        why_not_here(network)
        or why_not_network(network.settings, network.max_tokens)
        or why_not_optimised(settings)
    )


def interpreted() -> bool:
    """Whether Triton is told to interpret kernels on the CPU, as tests without a GPU do."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def why_not_here(network: Network) -> str:
    """What the machine lacks, or what was done to the network."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    device = network.unembedding.weight.device.type
    if device != "cuda" and not interpreted():
        return f"the device is {device}"
    if network.edits:
        return "heads are edited"
    if not all(parameter.requires_grad for parameter in network.parameters()):
        return "parts are frozen"
    return ""


def why_not_network(settings: NetworkSettings, tokens: int) -> str:
    """What of the architecture no kernel computes."""
    hidden = round(settings.width * settings.mlp_ratio)
    if settings.encoder != "linear":
        return "images are encoded by a ResNet"
    if settings.width not in WIDTHS:
        return f"the width is {settings.width}, not one of {', '.join(map(str, WIDTHS))}"
    if settings.input_dim > MOST_INPUTS:
        return f"exemplars have {settings.input_dim} entries, more than {MOST_INPUTS:,}"
    if tokens > MOST_TOKENS:
        return f"sequences may have {tokens} tokens, more than {MOST_TOKENS}"
    if hidden % 16:
        return f"the MLP has {hidden} hidden entries, not a multiple of 16"
    return ""


def why_not_optimised(settings: OptimisationSettings) -> str:
    """What of the optimisation no kernel computes."""
    if settings.loss != "cross_entropy":
        return f"the loss is {settings.loss}"
    if settings.optimizer == "sgd":
        return "the optimizer is sgd"
    if settings.clip_norm is not None:
        return "gradients are clipped"
    if settings.micro_batches > 1:
        return "batches are split into micro-batches"
    if settings.weight_decay > 0 and kind_of(settings) == "norm":
        return "weight decay is of the kind 'norm'"
    return ""
