"""The controller: ModelPools and RoutingPolicies become a published plan; what data planes acknowledge becomes their status.

Read `handlers` first, then `program` (the loops), `reconcile` (one pass), `publisher`, `status`. Both `tradewind controller`
and `kopf run -m tradewind.controller` run it: kopf finds the handlers by their import here.
"""

from tradewind.controller import handlers

__all__ = ["handlers"]
