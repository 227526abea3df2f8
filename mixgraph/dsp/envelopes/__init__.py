"""Envelopes of energies, and the gains that follow them.

- `one_pole`: one time constant, as a scan in blocks, exact or cut after some samples.
- `attack_release`: two time constants, by the loop over samples or by policy iteration, whichever suits the device.
- `loop`: that recursion and its adjoint sample by sample, compiled.
- `policy_iteration`: the same without a loop over samples.
- `smoothers`: both kinds of envelope for groups of nodes, outside of autograd.
- `dynamics`: a dynamic range processor with its dry/wet mix, built on a smoother.
"""
