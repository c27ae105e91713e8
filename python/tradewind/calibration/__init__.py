"""A user's own log of calls: what routing would have cost on it, and the setting of a policy that reaches a goal on it."""
