"""Hypothesis profiles; the core's tests have no fixtures.

`--hypothesis-profile=planted` is for planted bugs: the same examples each time,
and no search for the smallest one. `nightly` is for CI's night.
"""

from hypothesis import Phase, settings

settings.register_profile("calm", deadline=None)
settings.register_profile(
    "planted",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=80,
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("nightly", deadline=None, max_examples=2000)

if settings.get_current_profile_name() == "default":
    settings.load_profile("calm")  # a busy host is no reason to fail
