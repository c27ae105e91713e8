"""What Tradewind's programs publish to each other: plan source, predictor manifest, decision, outcome."""
