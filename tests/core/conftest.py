"""Hypothesis profiles; the core's tests have no fixtures.

`make test` says the same each time. `--hypothesis-profile=planted` is for planted
bugs: its examples come from `--hypothesis-seed`, and there is no search for the
smallest one. `nightly` is for CI's night, and looks where nobody has looked.
"""

from hypothesis import Phase, settings

settings.register_profile("calm", deadline=None, derandomize=True)
settings.register_profile(
    "planted",
    deadline=None,
    database=None,
    max_examples=300,
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("nightly", deadline=None, max_examples=3000)

if settings.get_current_profile_name() == "default":
    settings.load_profile("calm")  # a busy host is no reason to fail
