"""Checking an int8 network layer by layer, to the bit: what `mmnet_np.tools.verify` stands on."""
