"""Graphs of a user's own, for tests: small ones built with `onnx`, and what they give in numpy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tradewind import core
from tradewind.artifacts import predictor

MODELS = ("tiny", "strong", "small")
"""Names of the columns; not in the order of any pool."""
BIAS = np.array([-0.5, 1.5, 0.25], np.float32)
SLOPE = np.array([[-0.4, -0.05, -0.2]], np.float32)
TOKENS = np.array([[30.0, 80.0, 50.0]], np.float32)
SURFACE = len(core.feature_names())
INPUTS = ("input_ids", "attention_mask", "features")

Shape = Sequence[int | str]


def build(
    inputs: Sequence[str] = INPUTS,
    *,
    tokens: bool = True,
    declared: Mapping[str, tuple[int, Shape]] | None = None,
    quality: npt.NDArray[np.float32] | None = None,
    properties: Mapping[str, str] | None = None,
    extra_output: bool = False,
    tokens_each: npt.NDArray[np.float32] = TOKENS,
    tokens_more: float = 0.0,
) -> bytes:
    """An ONNX file whose quality is σ(bias + slope·x), x the sum over its inputs of: mean id / 10,000, ln T, first surface
    feature / 10.

    Output tokens are x·tokens_each + tokens_more. `declared` overrides element type and shape of an input or output by name;
    `quality` is a constant to give instead.
    """
    length = "T"
    shapes: dict[str, tuple[int, Shape]] = {
        "input_ids": (TensorProto.INT64, [1, length]),
        "attention_mask": (TensorProto.INT64, [1, length]),
        "features": (TensorProto.FLOAT, [1, SURFACE]),
        "quality": (TensorProto.FLOAT, [1, len(MODELS)]),
        "output_tokens": (TensorProto.FLOAT, [1, len(MODELS)]),
        **(declared or {}),
    }
    node = helper.make_node
    float_ = TensorProto.FLOAT
    parts: dict[str, tuple[str, list[onnx.NodeProto]]] = {
        "input_ids": (
            "x_ids",
            [
                node("Cast", ["input_ids"], ["ids"], to=float_),
                node("ReduceMean", ["ids"], ["ids_mean"], axes=[1], keepdims=1),
                node("Mul", ["ids_mean", "ten_thousandth"], ["x_ids"]),
            ],
        ),
        "attention_mask": (
            "x_mask",
            [
                node("Cast", ["attention_mask"], ["mask"], to=float_),
                node("ReduceSum", ["mask", "axis"], ["count"], keepdims=1),
                node("Log", ["count"], ["x_mask"]),
            ],
        ),
        "features": ("x_features", [node("MatMul", ["features", "pick"], ["x_features"])]),
    }
    pick = np.zeros((SURFACE, 1), np.float32)
    pick[0] = 0.1
    weights = {
        "ten_thousandth": np.array([1e-4], np.float32),
        "axis": np.array([1], np.int64),
        "pick": pick,
        "slope": SLOPE,
        "bias": BIAS,
        "tokens_each": tokens_each,
        "tokens_more": np.array([tokens_more], np.float32),
    }
    terms = [parts[name][0] for name in inputs if name in parts] or ["ten_thousandth"]
    nodes = [each for name in inputs if name in parts for each in parts[name][1]]
    nodes += [
        node("Sum", terms, ["x"]),
        node("MatMul", ["x", "slope"], ["sloped"]),
        node("Add", ["sloped", "bias"], ["logit"]),
        node("Sigmoid", ["logit"], ["sigmoid"]),
    ]
    if quality is None:
        nodes.append(node("Identity", ["sigmoid"], ["quality"]))
    else:  # Whatever the text: what is read of it counts for nothing.
        weights |= {"zero": np.zeros(1, np.float32), "given": np.asarray(quality, np.float32).reshape(1, -1)}
        nodes += [node("Mul", ["sigmoid", "zero"], ["nothing"]), node("Add", ["nothing", "given"], ["quality"])]
    outputs = ["quality"]
    if tokens:
        nodes += [node("MatMul", ["x", "tokens_each"], ["longer"]), node("Add", ["longer", "tokens_more"], ["output_tokens"])]
        outputs.append("output_tokens")
    if extra_output:
        shapes["logit"] = (float_, [1, len(MODELS)])
        outputs.append("logit")
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info(name, *shapes[name]) for name in inputs],
        [helper.make_tensor_value_info(name, *shapes[name]) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(properties or {}))
    return bytes(model.SerializeToString(deterministic=True))


def expected(text: str, inputs: Sequence[str] = INPUTS) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Quality and output tokens that `build(inputs)` gives for a text, by column."""
    ids, _, surface = core.featurize([text])
    tokens = np.frombuffer(ids, "<i4").astype(float)
    terms = {
        "input_ids": tokens.mean() / 10_000,
        "attention_mask": np.log(len(tokens)),
        "features": np.frombuffer(surface, "<f4")[0] / 10,
    }
    x = sum(terms[name] for name in inputs)
    return 1 / (1 + np.exp(-(BIAS + SLOPE[0] * x))), TOKENS[0] * x


def write(folder: Path, graph: bytes | None = None, **manifest: Any) -> Path:
    """Writes the artifact of a graph; `manifest` overrides fields, `None` leaves one out. Gives the folder."""
    graph = build() if graph is None else graph
    folder.mkdir(parents=True, exist_ok=True)
    (folder / predictor.GRAPH).write_bytes(graph)
    document = {
        "schema": predictor.SCHEMA,
        "digest": predictor.digest_of(graph),
        "feature_schema": core.feature_schema(),
        "models": list(MODELS),
        **manifest,
    }
    present = {name: value for name, value in document.items() if value is not None}
    (folder / predictor.MANIFEST).write_text(json.dumps(present))
    return folder
