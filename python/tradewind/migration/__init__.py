"""Configurations of other routers, as resources of ours, with everything named that could not come along."""
