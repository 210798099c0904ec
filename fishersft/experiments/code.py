"""The Python that makes or reads a result of error curves, for those who want it without the screen."""

from __future__ import annotations

from dataclasses import fields

from fishersft.experiments.experiment import Experiment
from fishersft.experiments.result import Result
from fishersft.experiments.synthetic import Synthetic

READ = """from pathlib import Path

from fishersft.curves.result import read_result

result = read_result(Path("curves"))  # the folder that the command wrote
print(result.curve({selector!r}, "maximum").mean)
"""
MAKE = """from fishersft.curves.experiment import Experiment
from fishersft.curves.result import Result
from fishersft.curves.running import run
from fishersft.curves.synthetic import Synthetic

experiment = {experiment}
result = Result.of(experiment.about, list(run(experiment)))
print(result.curve({selector!r}, "maximum").mean)
"""


def python_of(result: Result) -> str:
    """The experiment itself where it is a synthetic one; else how its folder is read."""
    settings, selector = result.about.settings, result.selectors[0]
    if result.is_sweep or settings["world"]["name"] != Synthetic.name:
        return READ.format(selector=selector)
    world = ", ".join(
        f"{f.name}={settings['world'][f.name]!r}" for f in fields(Synthetic) if settings["world"][f.name] != f.default
    )
    plain = Experiment.__dataclass_fields__
    changed = [f"Synthetic({world})"]
    for name in ("selectors", "parameters", "budgets", "runs", "seed", "equal", "reference", "ridge", "sigma2"):
        value = tuple(settings[name]) if isinstance(settings[name], list) else settings[name]
        if value != plain[name].default:
            changed.append(f"{name}={value!r}")
    return MAKE.format(experiment=f"Experiment({', '.join(changed)})", selector=selector)
