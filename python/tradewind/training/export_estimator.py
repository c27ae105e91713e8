"""Writes a fitted estimator as the ONNX graph of a predictor of one's own:

    input_ids int64[1,T], features float32[1,F]  →  quality float32[1,M] in [0, 1], output_tokens float32[1,M]

`output_tokens` is there if the estimator was fitted with them. The first nodes are those of `export`, so that the
graph reads exactly what `Encoder.encode` makes of a text; ONNX Runtime folds the table into float32 once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tradewind import core
from tradewind.artifacts import predictor
from tradewind.errors import UsageError
from tradewind.training import export
from tradewind.training.corpus import Encoder
from tradewind.training.estimator import Estimator, Graphed
from tradewind.training.onnx_graph import ML_DOMAIN, Graph

KIND = "own/1"
"""As the core calls graphs of a user's own."""
ML_OPSET = 3
ENCODED = "zs"
"""What `export.encoding_nodes` calls z and s side by side."""


def model(encoder: Encoder, fitted: Estimator) -> onnx.ModelProto:
    """The checked ONNX model. Raises `UsageError` for an estimator that a graph cannot hold, or of another encoder."""
    place = type(fitted).__name__
    graph = Graph()
    outputs = {}
    for name, lowest, highest in (("quality", 0, 1), ("output_tokens", 0, np.finfo(np.float32).max)):
        learned = getattr(fitted, f"{name}_")
        if learned is None:
            continue
        if not isinstance(learned, Graphed):
            raise UsageError(f"{place} is not exported as a graph of `quality`: it has an export of its own", place)
        found = learned.add_to(graph, ENCODED)
        graph.nodes.append(helper.make_node("Clip", [found, graph.constant(lowest), graph.constant(highest)], [name]))
        outputs[name] = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, fitted.n_models_])
    reads = any(ENCODED in node.input for node in graph.nodes)
    inputs = encoder.dimensions + len(encoder.surface.mean)
    if reads and fitted.n_features_in_ != inputs:
        raise UsageError(f"it was fitted on {fitted.n_features_in_} inputs a text; this encoder makes {inputs}", place)
    weights = {**export.encoding_weights(encoder), **export.encoding_constants()} if reads else {}
    made = helper.make_model(
        helper.make_graph(
            [*(export.encoding_nodes() if reads else ()), *graph.nodes],
            f"tradewind-{place}",
            export.encoding_inputs(encoder),
            list(outputs.values()),
            [*(numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in weights.items()), *graph.initialisers()],
        ),
        producer_name="tradewind",
        opset_imports=[helper.make_opsetid("", export.OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)],
        ir_version=export.IR_VERSION,
    )
    helper.set_model_props(made, {"tradewind.graph": KIND, "tradewind.feature_schema": core.feature_schema()})
    onnx.checker.check_model(made, full_check=True)
    return made


def write(folder: Path, encoder: Encoder, fitted: Estimator, models: Sequence[str]) -> str:
    """Writes `predictor.onnx` and its manifest, which names the models in the order of the outputs; gives the digest."""
    if len(models) != fitted.n_models_:
        raise UsageError(f"{len(models)} names for the {fitted.n_models_} models it was fitted on", type(fitted).__name__)
    raw: bytes = model(encoder, fitted).SerializeToString(deterministic=True)
    digest = predictor.digest_of(raw)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / predictor.GRAPH).write_bytes(raw)
    manifest = {
        "schema": predictor.SCHEMA,
        "name": type(fitted).__name__,
        "digest": digest,
        "feature_schema": core.feature_schema(),
        "graph": {"file": predictor.GRAPH, "sha256": digest.removeprefix("sha256:")},
        "models": list(models),
    }
    (folder / predictor.MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")
    return digest
