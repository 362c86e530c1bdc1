"""Command-line tools: convert, evaluate, summary, warmup."""
