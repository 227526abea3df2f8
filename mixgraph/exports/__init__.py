"""Exports: a found graph as files for a studio, by `python -m mixgraph export RESULT --to FORMAT`.

settings  what a user chooses: sample rate, word length
source    the found graph, its tracks and its printed stems, as a format gets them
report    export_report.txt: what is approximated, what is left out, and the files of an export
formats   what a format is, and the registry of formats
wav       WAV files for studios: 24-bit or float, any number of channels
run       one export: checked, written to a temporary folder, renamed
jsfx/     effects for REAPER (JSFX): gains, imager, saturator and dynamics with our arithmetic, and a convolver

Formats, a file each, which `run` imports:

stems       printed stems with a cue sheet
impulses    impulse responses of the linear parts of chains, which `stretches` finds
sheet       settings in units of plug-ins (`plugin_settings`), with pictures of equalizers (`curves`)
dawproject  a DAWproject file; _mixer and _strip say what its channels hold, _xml writes it
reaper      a REAPER project; _strips finds its tracks, _effects their effects and responses, _project writes it
"""
