"""The weight store and the readers of trained checkpoints."""
