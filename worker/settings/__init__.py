"""The settings: what may be set, what must hold between values, and where values come from."""

from worker.settings.knobs import Lane
from worker.settings.load import Loaded, Settings, load, load_all
from worker.settings.problem import Problem, SettingsError

__all__ = ["Lane", "Loaded", "Problem", "Settings", "SettingsError", "load", "load_all"]
