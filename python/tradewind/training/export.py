"""Writes a fitted predictor as one ONNX file, and reads it back.

The graph (`tier1/3`), V vocabulary, D embedding, F surface, H heads, W hidden, K latent, L length, C
clusters, T topics:

    input_ids int64[1,T], features float32[1,F]
    z0 = Σ_t w_t·e_t / (Σ_t w_t + 1e-6);  z = z0 / (|z0| + 1e-6)          e_t = table[id]·table_scale[id]
    s  = clip((features − surface_mean)·surface_inverse_sd, −4, 4)
    difficulty[1,H] = relu([z s]·difficulty_hidden_weight + …_bias)·difficulty_out_weight + …_bias
    latent[1,K] = relu([z s]·latent_weight + latent_bias)
    length[1,L] = relu(z·length_hidden_weight + …_bias)·length_out_weight + …_bias
    similarity[1,C] = z·centroids
    topics[1,T] = softmax(relu([z s]·topic_hidden_weight + …_bias)·topic_out_weight + …_bias)

A profile weighs `latent`, its last unit a constant 1: the logit of the direct forecast (`direct.py`).

The core's native executor reads the initialisers by name; ONNX Runtime runs the graph. Pooling is a MatMul,
which is four times faster there than a ReduceMean.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tradewind import core
from tradewind.errors import InvalidPredictor, unknown
from tradewind.training.corpus import Encoder
from tradewind.training.direct import Direct
from tradewind.training.features import SurfaceScale
from tradewind.training.forecast import Parameters, Prediction
from tradewind.training.heads import Heads
from tradewind.training.lengths import Lengths
from tradewind.training.tier1 import Tier1
from tradewind.training.topics import Topics

Singles = npt.NDArray[np.float32]

OPSET = 17
IR_VERSION = 8
FILE = "predictor.onnx"
LIMIT_BYTES = 12_000_000


def initialisers(fitted: Tier1) -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int8]]:
    """Every weight by the name that the core looks for."""
    heads, direct, lengths = fitted.heads, fitted.direct, fitted.lengths
    return {
        **encoding_weights(fitted.encoder),
        "difficulty_hidden_weight": heads.hidden_weight,
        "difficulty_hidden_bias": heads.hidden_bias,
        "difficulty_out_weight": heads.out_weight,
        "difficulty_out_bias": heads.out_bias,
        "latent_weight": direct.weight,
        "latent_bias": direct.bias,
        "length_hidden_weight": lengths.hidden_weight,
        "length_hidden_bias": lengths.hidden_bias,
        "length_out_weight": lengths.out_weight,
        "length_out_bias": lengths.out_bias,
        "centroids": fitted.centroids,
        "topic_hidden_weight": fitted.topics.hidden_weight,
        "topic_hidden_bias": fitted.topics.hidden_bias,
        "topic_out_weight": fitted.topics.out_weight,
        "topic_out_bias": fitted.topics.out_bias,
    }


def encoding_weights(encoder: Encoder) -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int8]]:
    """The weights of `encoding_nodes`."""
    return {
        "table": encoder.table,
        "table_scale": encoder.table_scale,
        "token_weight": encoder.token_weight,
        "surface_mean": encoder.surface.mean,
        "surface_inverse_sd": encoder.surface.inverse_sd,
    }


def encoding_constants() -> dict[str, npt.NDArray[np.int64] | npt.NDArray[np.float32]]:
    """The constants of `encoding_nodes`."""
    return {
        "axis_one": np.array([1], np.int64),
        "tiny": np.array([1e-6], np.float32),
        "lowest": np.array(-4, np.float32),
        "highest": np.array(4, np.float32),
    }


def encoding_nodes() -> list[onnx.NodeProto]:
    """From the graph's inputs to `z`, `s`, and both side by side, `zs`: what `Encoder.encode` computes."""
    node = helper.make_node
    return [
        node("Cast", ["table"], ["table_float"], to=TensorProto.FLOAT),
        node("Mul", ["table_float", "table_scale"], ["table_fp"]),
        node("Gather", ["table_fp", "input_ids"], ["e"]),
        node("Gather", ["token_weight", "input_ids"], ["w"]),
        node("Unsqueeze", ["w", "axis_one"], ["w_row"]),
        node("MatMul", ["w_row", "e"], ["pooled_row"]),
        node("Squeeze", ["pooled_row", "axis_one"], ["pooled"]),
        node("ReduceSum", ["w", "axis_one"], ["w_total"], keepdims=1),
        node("Add", ["w_total", "tiny"], ["w_safe"]),
        node("Div", ["pooled", "w_safe"], ["z0"]),
        node("Mul", ["z0", "z0"], ["z0_square"]),
        node("ReduceSum", ["z0_square", "axis_one"], ["z0_total"], keepdims=1),
        node("Sqrt", ["z0_total"], ["z0_length"]),
        node("Add", ["z0_length", "tiny"], ["z0_safe"]),
        node("Div", ["z0", "z0_safe"], ["z"]),
        node("Sub", ["features", "surface_mean"], ["centred"]),
        node("Mul", ["centred", "surface_inverse_sd"], ["scaled"]),
        node("Clip", ["scaled", "lowest", "highest"], ["s"]),
        node("Concat", ["z", "s"], ["zs"], axis=1),
    ]


def encoding_inputs(encoder: Encoder) -> list[onnx.ValueInfoProto]:
    """`input_ids` and `features`."""
    return [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "T"]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, len(encoder.surface.mean)]),
    ]


def model(fitted: Tier1) -> onnx.ModelProto:
    """The checked ONNX model."""
    weights = initialisers(fitted)
    nodes = [
        *encoding_nodes(),
        *_layer("zs", "difficulty_hidden", "difficulty_flat"),
        helper.make_node("Relu", ["difficulty_flat"], ["difficulty_h"]),
        *_layer("difficulty_h", "difficulty_out", "difficulty"),
        *_layer("zs", "latent", "latent_flat"),
        helper.make_node("Relu", ["latent_flat"], ["latent"]),
        *_layer("z", "length_hidden", "length_flat"),
        helper.make_node("Relu", ["length_flat"], ["length_h"]),
        *_layer("length_h", "length_out", "length"),
        helper.make_node("MatMul", ["z", "centroids"], ["similarity"]),
        *_layer("zs", "topic_hidden", "topic_flat"),
        helper.make_node("Relu", ["topic_flat"], ["topic_h"]),
        *_layer("topic_h", "topic_out", "topic_logits"),
        helper.make_node("Softmax", ["topic_logits"], ["topics"], axis=1),
    ]
    outputs = {
        "difficulty": weights["difficulty_out_bias"].shape[0],
        "latent": weights["latent_bias"].shape[0],
        "length": weights["length_out_bias"].shape[0],
        "similarity": weights["centroids"].shape[1],
        "topics": weights["topic_out_bias"].shape[0],
    }
    graph = helper.make_graph(
        nodes,
        "tradewind-tier1",
        encoding_inputs(fitted.encoder),
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in outputs.items()],
        [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in {**weights, **encoding_constants()}.items()],
    )
    made = helper.make_model(
        graph,
        producer_name="tradewind",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(
        made,
        {
            "tradewind.graph": "tier1/3",
            "tradewind.feature_schema": core.feature_schema(),
            "tradewind.parameters": json.dumps(asdict(fitted.parameters), sort_keys=True),
        },
    )
    onnx.checker.check_model(made, full_check=True)
    return made


def _layer(source: str, name: str, result: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", [source, f"{name}_weight"], [f"{result}_product"]),
        helper.make_node("Add", [f"{result}_product", f"{name}_bias"], [result]),
    ]


def write(fitted: Tier1, folder: Path) -> str:
    """Writes `predictor.onnx`; gives its digest. The same weights give the same bytes."""
    raw = model(fitted).SerializeToString(deterministic=True)
    if len(raw) > LIMIT_BYTES:
        raise ValueError(f"the predictor has {len(raw)} bytes; at most {LIMIT_BYTES} are allowed")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(raw)
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def dimensions(fitted: Tier1) -> dict[str, int]:
    """Sizes by name, for the manifest."""
    weights = initialisers(fitted)
    return {
        "vocabulary": weights["table"].shape[0],
        "embedding": weights["table"].shape[1],
        "surface": weights["surface_mean"].shape[0],
        "heads": weights["difficulty_out_bias"].shape[0],
        "difficulty_hidden": weights["difficulty_hidden_bias"].shape[0],
        "length_hidden": weights["length_hidden_bias"].shape[0],
        "latent": weights["latent_bias"].shape[0],
        "length": weights["length_out_bias"].shape[0],
        "clusters": weights["centroids"].shape[1],
        "topics": weights["topic_out_bias"].shape[0],
    }


class Artifact:
    """A predictor file, read back: enough of it to fit new models' profiles with its heads frozen."""

    def __init__(self, graph: bytes) -> None:
        loaded = onnx.load_model_from_string(graph)
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in loaded.graph.initializer}
        properties = {entry.key: entry.value for entry in loaded.metadata_props}
        kind = properties.get("tradewind.graph")
        if kind != "tier1/3":
            raise InvalidPredictor("invalid_predictor", unknown("graph", str(kind), ["tier1/3"]))
        schema = properties.get("tradewind.feature_schema")
        if schema != core.feature_schema():
            message = f"it was trained on feature schema {schema}; this build computes {core.feature_schema()}"
            raise InvalidPredictor("invalid_predictor", message)
        self.parameters = Parameters(**json.loads(properties["tradewind.parameters"]))
        self.encoder = Encoder(
            weights["table"],
            weights["table_scale"],
            weights["token_weight"],
            SurfaceScale(weights["surface_mean"], weights["surface_inverse_sd"]),
        )
        self._heads = Heads(
            *(weights[f"difficulty_{name}"] for name in ("hidden_weight", "hidden_bias", "out_weight", "out_bias"))
        )
        self._direct = Direct(weights["latent_weight"], weights["latent_bias"])
        self._lengths = Lengths(
            *(weights[f"length_{name}"] for name in ("hidden_weight", "hidden_bias", "out_weight", "out_bias"))
        )
        self._centroids = weights["centroids"]
        self._topics = Topics(
            *(weights[f"topic_{name}"] for name in ("hidden_weight", "hidden_bias", "out_weight", "out_bias"))
        )

    def predict(self, x: Singles) -> Prediction:
        """The graph's outputs for encoded texts [n, D + F]."""
        z = x[:, : self.encoder.dimensions]
        found = (
            self._heads.difficulty(x),
            self._direct.outputs(x),
            self._lengths.outputs(z),
            z @ self._centroids,
            self._topics.weights(x),
        )
        return Prediction(*(part.astype(np.float64) for part in found))
