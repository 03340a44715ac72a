"""Training the papers' transformers and measuring which strategy answers.

The path: `settings` (or a preset of `presets`, or a file, `settings_files`) say what a run is;
`data` makes classes and exemplars, `sequences` and `batches` what is shown of them; `network` and
`step` learn; `evaluators` and `metrics` measure; `loop.train` does it all and leaves a run's folder
(`runs`) with curves that `coopetition fit` reads.

>>> from coopetition.train.presets import preset
>>> preset("cpu-persistent").sequences.match_probability
1.0

Only this package imports torch, and not before a network, a batch or a run is asked for.
"""
