"""What ships to try: the embedded default configuration and the demo."""
