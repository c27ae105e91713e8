"""From outcome tables to a gated predictor artifact, and the evaluation of routers on such tables."""
