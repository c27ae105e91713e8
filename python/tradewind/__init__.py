"""Tradewind: a Kubernetes-native router for large language models, with a Rust hot path."""
