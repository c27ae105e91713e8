"""Writes the teacher as a predictor of its own kind (`own/1`, docs/predictors.md): tier 2.

    input_ids int64[1,T], features float32[1,F] → quality float32[1,M]

One column a model; of a model of several sets it is σ of the mean of its logits there, which is linear, so the output
weights hold it. The word embeddings are stored in half precision: they are most of the file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from tradewind import core
from tradewind.artifacts import predictor
from tradewind.training import export, manifest
from tradewind.training.datasets import DataSet
from tradewind.training.distill import CLS, SEP
from tradewind.training.onnx_graph import Graph
from tradewind.training.teacher import encoder
from tradewind.training.teacher.fit import Teacher
from tradewind.training.teacher.questions import Questions

Singles = npt.NDArray[np.float32]

LONGEST = 126
"""Word pieces that are read; a text's first ones."""


def models(questions: Questions) -> list[str]:
    """The columns, sorted."""
    return sorted({model for _, model in questions.pairs})


def averaging(questions: Questions) -> Singles:
    """[P, M]: from logits by pair to their mean by model."""
    names = models(questions)
    member = np.array([[model == name for name in names] for _, model in questions.pairs], np.float32)
    share: Singles = member / member.sum(axis=0)
    return share


def model(teacher: Teacher, questions: Questions) -> onnx.ModelProto:
    """The checked ONNX model."""
    weights = {name: np.asarray(values) for name, values in {**teacher.frozen, **teacher.weights}.items()}
    average = averaging(questions)
    weights["head.out.weight"] = weights["head.out.weight"] @ average
    weights["head.out.bias"] = weights["head.out.bias"] @ average
    graph = Graph()
    hidden = _embedded(graph, weights)
    for layer in range(encoder.layer_count(weights)):
        hidden = _layer(graph, weights, f"encoder.layer.{layer}", hidden)
    pooled = graph.add("ReduceMean", hidden, axes=[0], keepdims=1)
    seen = graph.add("Concat", pooled, _surface(graph, questions), axis=1)
    active = _gelu(graph, _dense(graph, weights, "head.hidden", seen))
    graph.nodes.append(helper.make_node("Sigmoid", [_dense(graph, weights, "head.out", active)], ["quality"]))
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tradewind-tier2",
            [
                helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "T"]),
                helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, len(questions.scale.mean)]),
            ],
            [helper.make_tensor_value_info("quality", TensorProto.FLOAT, [1, average.shape[1]])],
            graph.initialisers(),
        ),
        producer_name="tradewind",
        opset_imports=[helper.make_opsetid("", export.OPSET)],
        ir_version=export.IR_VERSION,
    )
    onnx.checker.check_model(made, full_check=True)
    return made


def _embedded(graph: Graph, weights: Mapping[str, Singles]) -> str:
    """[T, E] of the first word pieces between [CLS] and [SEP]."""
    first, last = (graph.constant([[token]], np.int64) for token in (CLS, SEP))
    ids = graph.add("Concat", first, graph.leading("input_ids", LONGEST), last, axis=1)
    flat = graph.add("Squeeze", ids, graph.constant([0], np.int64))
    table = graph.constant(weights["embeddings.word_embeddings.weight"], np.float16)
    words = graph.add("Cast", graph.add("Gather", table, flat), to=TensorProto.FLOAT)
    places = weights["embeddings.position_embeddings.weight"][: LONGEST + 2]
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    start, axis = (graph.constant([0], np.int64) for _ in range(2))
    positions = graph.add("Slice", graph.constant(places + kind), start, graph.add("Shape", flat), axis)
    return _layer_norm(graph, weights, "embeddings.LayerNorm", graph.add("Add", words, positions))


def _layer(graph: Graph, weights: Mapping[str, Singles], name: str, hidden: str) -> str:
    added = _attention(graph, weights, name, hidden)
    hidden = _layer_norm(graph, weights, f"{name}.attention.output.LayerNorm", graph.add("Add", hidden, added))
    inner = _gelu(graph, _dense(graph, weights, f"{name}.intermediate.dense", hidden))
    added = _dense(graph, weights, f"{name}.output.dense", inner)
    return _layer_norm(graph, weights, f"{name}.output.LayerNorm", graph.add("Add", hidden, added))


def _attention(graph: Graph, weights: Mapping[str, Singles], name: str, hidden: str) -> str:
    width = weights[f"{name}.attention.output.dense.bias"].shape[0]
    apart = graph.constant([-1, width // encoder.HEAD_WIDTH, encoder.HEAD_WIDTH], np.int64)

    def heads(part: str, order: Sequence[int]) -> str:
        flat = _dense(graph, weights, f"{name}.attention.self.{part}", hidden)
        return graph.add("Transpose", graph.add("Reshape", flat, apart), perm=order)

    score = graph.add("MatMul", heads("query", (1, 0, 2)), heads("key", (1, 2, 0)))
    scaled = graph.add("Mul", score, graph.constant(1 / math.sqrt(encoder.HEAD_WIDTH)))
    mixed = graph.add("MatMul", graph.add("Softmax", scaled, axis=-1), heads("value", (1, 0, 2)))
    together = graph.add("Transpose", mixed, perm=(1, 0, 2))
    flat = graph.add("Reshape", together, graph.constant([-1, width], np.int64))
    return _dense(graph, weights, f"{name}.attention.output.dense", flat)


def _dense(graph: Graph, weights: Mapping[str, Singles], name: str, x: str) -> str:
    product = graph.add("MatMul", x, graph.constant(weights[f"{name}.weight"]))
    return graph.add("Add", product, graph.constant(weights[f"{name}.bias"]))


def _layer_norm(graph: Graph, weights: Mapping[str, Singles], name: str, x: str) -> str:
    scale, bias = (graph.constant(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    return graph.add("LayerNormalization", x, scale, bias, epsilon=encoder.EPSILON, axis=-1)


def _gelu(graph: Graph, x: str) -> str:
    """x·Φ(x)"""
    spread = graph.add("Erf", graph.add("Mul", x, graph.constant(math.sqrt(0.5))))
    chance = graph.add("Mul", graph.add("Add", spread, graph.constant(1.0)), graph.constant(0.5))
    return graph.add("Mul", x, chance)


def _surface(graph: Graph, questions: Questions) -> str:
    """s [1, F], as `features.SurfaceScale` has it."""
    centred = graph.add("Sub", "features", graph.constant(questions.scale.mean))
    scaled = graph.add("Mul", centred, graph.constant(questions.scale.inverse_sd))
    return graph.add("Clip", scaled, graph.constant(-4.0), graph.constant(4.0))


def profiles(sets: Sequence[DataSet], names: Sequence[str]) -> dict[str, Any]:
    """By model: the logit of its mean score and, where it was measured, the logarithm of its mean answer in tokens."""
    found: dict[str, Any] = {}
    for name in names:
        score, tokens = (_answers(sets, name, field) for field in ("score", "output_tokens"))
        mean = (score.sum() + 0.5) / (len(score) + 1)
        length = {"length": {"bias": math.log(max(tokens.mean(), 1.0))}} if len(tokens) else {}
        found[name] = {"bias": math.log(mean / (1 - mean)), **length, "answers": len(score)}
    return found


def _answers(sets: Sequence[DataSet], name: str, field: str) -> npt.NDArray[np.float64]:
    """What was measured of a model, over all sets."""
    columns = [getattr(data, field)[:, data.models.index(name)] for data in sets if name in data.models]
    every = np.concatenate(columns)
    measured: npt.NDArray[np.float64] = every[~np.isnan(every)]
    return measured


def write(teacher: Teacher, questions: Questions, sets: Sequence[DataSet], folder: Path, facts: Mapping[str, Any]) -> str:
    """Writes graph, manifest and stems; gives the digest. `facts` say how the teacher was made."""
    raw = model(teacher, questions).SerializeToString(deterministic=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / export.FILE).write_bytes(raw)
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    names = models(questions)
    document = {
        "schema": predictor.SCHEMA,
        "name": "tier2",
        "digest": digest,
        "feature_schema": core.feature_schema(),
        "graph": {"file": export.FILE},
        "models": names,
        **facts,
        "data": [manifest.data_of(data) for data in sets],
        "profiles": profiles(sets, names),
    }
    manifest.write(folder, document, sorted({str(stem)[: manifest.STEM_DIGITS] for stem in questions.stems}))
    return digest
