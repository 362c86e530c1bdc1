"""Moving pictures: ffmpeg's pipes, raw camera pipes, and the threads between them."""
