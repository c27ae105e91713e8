"""A tiny predictor for tests: the longer a prompt, the harder it is. Four models, from `tiny` to `strong`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from tradewind import core
from tradewind.artifacts import predictor

PROFILES = {
    "tiny": {"bias": 1.0, "slope": 1.6, "length": {"bias": 4.0}},
    "small": {"bias": 1.6, "slope": 1.2},
    "medium": {"bias": 2.0, "slope": 1.0},
    "strong": {"bias": 2.6, "slope": 0.8, "length": {"bias": 5.5, "latent": [0.1]}, "answers": 400},
}
PARAMETERS = {
    "inner_radius": 0.5,
    "outer_radius": 0.8,
    "difficulty_beyond": 0.5,
    "direct_share": 0.5,
    "prior_sd": 0.1,
}


def write(folder: Path, steepness: float = 1.0) -> Path:
    """Writes `predictor.onnx` and `manifest.json`; gives the folder."""
    graph = _graph(steepness)
    digest = predictor.digest_of(graph)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / predictor.GRAPH).write_bytes(graph)
    manifest = {
        "schema": predictor.SCHEMA,
        "name": "tiny",
        "digest": digest,
        "feature_schema": core.feature_schema(),
        "graph": {"file": predictor.GRAPH, "sha256": digest},
        "parameters": PARAMETERS,
        "profiles": PROFILES,
    }
    (folder / predictor.MANIFEST).write_text(json.dumps(manifest))
    return folder


def _graph(steepness: float) -> bytes:
    vocabulary, embedding, surface = 30522, 2, len(core.feature_names())
    hidden = np.zeros((embedding + surface, 1), np.float32)
    hidden[embedding] = steepness
    token_weight = np.ones(vocabulary, np.float32)
    token_weight[0] = 0
    weights = {
        "table": np.ones((vocabulary, embedding), np.int8),
        "table_scale": np.full((vocabulary, 1), 0.1, np.float32),
        "token_weight": token_weight,
        "surface_mean": np.full(surface, 4.0, np.float32),
        "surface_inverse_sd": np.ones(surface, np.float32),
        "difficulty_hidden_weight": hidden,
        "difficulty_hidden_bias": np.array([2.0], np.float32),
        "difficulty_out_weight": np.array([[1.0, 1.1]], np.float32),
        "difficulty_out_bias": np.array([-1.0, -1.0], np.float32),
        "latent_weight": np.zeros((embedding + surface, 1), np.float32),
        "latent_bias": np.ones(1, np.float32),
        "length_hidden_weight": np.ones((embedding, 1), np.float32),
        "length_hidden_bias": np.zeros(1, np.float32),
        "length_out_weight": np.ones((1, 1), np.float32),
        "length_out_bias": np.zeros(1, np.float32),
        "centroids": np.full((embedding, 1), np.sqrt(0.5), np.float32),
        "topic_hidden_weight": np.zeros((embedding + surface, 1), np.float32),
        "topic_hidden_bias": np.zeros(1, np.float32),
        "topic_out_weight": np.zeros((1, 2), np.float32),
        "topic_out_bias": np.array([0.0, -200.0], np.float32),
    }
    initialisers = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    # The native executor reads the weights; no test runs this file through ONNX Runtime.
    model = helper.make_model(helper.make_graph([], "tiny", [], [], initialisers))
    properties = {
        "tradewind.graph": "tier1/3",
        "tradewind.feature_schema": core.feature_schema(),
        "tradewind.parameters": json.dumps(PARAMETERS),
    }
    helper.set_model_props(model, properties)
    return bytes(model.SerializeToString(deterministic=True))
