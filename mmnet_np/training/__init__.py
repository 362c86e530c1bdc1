"""Training: losses, optimizer, augmentation and batches."""
