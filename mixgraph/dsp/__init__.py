"""Functions on tensors: convolution, FIR design, envelopes, spectra. They know nothing of graphs."""
