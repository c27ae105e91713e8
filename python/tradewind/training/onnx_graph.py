"""An ONNX graph under construction: nodes and constants with names of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

ML_DOMAIN = "ai.onnx.ml"
"""Of tree ensembles; all other operators are ONNX's own."""


@dataclass
class Graph:
    """What was added so far; methods give the name of what they added."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def constant(self, values: npt.ArrayLike, kind: npt.DTypeLike = np.float32) -> str:
        """An initialiser of that type."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(values, kind)
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node with one output."""
        name = f"node_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def add_second(self, operator: str, *inputs: str) -> str:
        """A node with two outputs; the second is named."""
        name = f"node_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [f"{name}_first", name]))
        return name

    def leading(self, x: str, columns: int) -> str:
        """The first columns of x [1, any]."""
        start, stop, axis = (self.constant([value], np.int64) for value in (0, columns, 1))
        return self.add("Slice", x, start, stop, axis)

    def initialisers(self) -> list[onnx.TensorProto]:
        """The constants as tensors."""
        return [numpy_helper.from_array(values, name) for name, values in self.constants.items()]
