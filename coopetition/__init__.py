"""Minimal models of strategy coopetition, fitted to training runs and used to keep ICL alive.

The pipeline, a verb a stage:

    model = catalogue.get("coopetition")     # a theory, declared in symbols
    ode = reduce(model)                      # exactly a few ordinary differential equations
    trajectory = integrate(model)            # or integrate_many, or descend
    predicted = observe(trajectory)          # curves against sequences seen
    (measured,) = read_curves("published:main")
    result = fit(measured, model)            # parameters, with what the data do not determine
    landmarks(measured), verdict(measured)   # when ICL emerges, vanishes; whether it lasts
    forecast(measured, default_map(), …)     # what becomes of it, from what other runs did
    propose(settings, default_map(), …)      # settings in which ICL should last
    verify(folder)                           # trained: did they come true?
    train.train(...)                         # the transformers themselves (imports torch)

Names are imported when first used, so that ``import coopetition`` costs nothing; ``__init__.pyi``
lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
