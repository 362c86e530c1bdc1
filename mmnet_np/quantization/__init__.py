"""From a trained float32 network to an int8 one: observers, calibration, the quantizer."""
