"""The tiny predictor as a whole graph, for both executors: its weights under the nodes of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import onnx
from onnx import numpy_helper

import tiny_predictor
from tradewind.artifacts import predictor
from tradewind.training import export
from tradewind.training.corpus import Encoder
from tradewind.training.direct import Direct
from tradewind.training.features import SurfaceScale
from tradewind.training.forecast import Parameters
from tradewind.training.heads import Heads
from tradewind.training.lengths import Lengths
from tradewind.training.tier1 import Tier1
from tradewind.training.topics import Topics


def build(folder: Path) -> bytes:
    """The ONNX file."""
    bare = onnx.load(tiny_predictor.write(folder) / predictor.GRAPH)
    weight = {tensor.name: numpy_helper.to_array(tensor) for tensor in bare.graph.initializer}
    heads = Heads(*(weight[f"difficulty_{name}"] for name in ("hidden_weight", "hidden_bias", "out_weight", "out_bias")))
    lengths = Lengths(*(weight[f"length_{name}"] for name in ("hidden_weight", "hidden_bias", "out_weight", "out_bias")))
    scale = SurfaceScale(weight["surface_mean"], weight["surface_inverse_sd"])
    encoder = Encoder(weight["table"], weight["table_scale"], weight["token_weight"], scale)
    fitted = Tier1(
        encoder=encoder,
        heads=heads,
        direct=Direct(weight["latent_weight"], weight["latent_bias"]),
        lengths=lengths,
        centroids=weight["centroids"],
        topics=Topics(*(weight[f"topic_{name}"] for name in ("hidden_weight", "hidden_bias", "out_weight", "out_bias"))),
        parameters=Parameters(**tiny_predictor.PARAMETERS),
        profiles={},
        # Only training looks at it.
        scale=cast(Any, None),
    )
    return bytes(export.model(fitted).SerializeToString(deterministic=True))
