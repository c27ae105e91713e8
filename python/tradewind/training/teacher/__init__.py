"""The teacher: the sentence encoder fine-tuned end to end on outcomes, whose soft labels the microsecond predictor learns
from, and which is tier 2 itself. Only this package needs the extra `[encoder]` (JAX, optax)."""
