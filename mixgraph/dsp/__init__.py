"""Functions on tensors, which know nothing of graphs.

- `fourier`: FFT lengths, real transforms with cheap gradients, spectra of filters.
- `convolution`: linear convolution, and cross spectra of long signals.
- `fir`: zero-phase filters from log-magnitudes, windows, unit energy.
- `biquads`: second-order recursive filters, compiled.
- `envelopes/`: smoothers of energies, and the dynamic range processors that follow them.
- `impulses`: trains of impulses whose delays can be learnt.
- `noise`: noise that decays exponentially in every band.
- `resample`: other sample rates.
- `stft`: short-time spectra for losses.
- `filterbank`: A-weighting and mel filterbanks.
- `octaves`: octave bands and their bins.
- `third_octaves`: averages of a spectrum over third-octave bands.
- `power_fit`: the levels at which signals have the powers of another one.
"""
