"""What a training run is: every setting, declared once; presets; settings as YAML."""

from .presets import preset, preset_names
from .training import TrainingSettings
from .yaml_files import read_settings, with_overrides, write_settings

__all__ = [
    "TrainingSettings",
    "preset",
    "preset_names",
    "read_settings",
    "with_overrides",
    "write_settings",
]
