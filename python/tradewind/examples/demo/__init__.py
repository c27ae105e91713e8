"""The demo: one simulated upstream per model, a gateway, the unmodified OpenAI client, and prompts of our own."""
