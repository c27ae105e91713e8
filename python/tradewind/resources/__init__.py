"""ModelPool and RoutingPolicy, parsed once from YAML, and assembled into a plan source.

Reading order: `documents` (YAML with line marks) → `model_pool`, `routing_policy`, `audience`, `namespace`, `config_map`
(shapes, with `formats` and `rules`) → `problems` (what is wrong, with file, line and accepted values) → `folder` (all of it
for a folder) → `tenants`, `profiles` (what refers to what) → `assemble`. `crds` writes the shapes for Kubernetes.
"""
