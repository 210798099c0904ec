"""The records of an experiment or a sweep, in this process or in several, without those that are there already.

    for record in run(experiment, on_progress, done=kept.done, workers=2): ...

What is measured is said in `experiment.py`, one run is made in `measure.py`, processes are `workers.py`.  Knows no file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from fishersft.experiments.experiment import Experiment, Key, Record
from fishersft.experiments.measure import Task, records_of
from fishersft.experiments.workers import in_processes

Progress = Callable[[str, int, int], None]


def run(
    experiments: Experiment | Sequence[Experiment],
    on_progress: Progress | None = None,
    *,
    done: Collection[Key] = (),
    workers: int = 1,
) -> Iterator[Record]:
    """The records that are not `done` yet, one as each is finished.

    Args:
        experiments: one, or those of a sweep.
        on_progress: told (what, records there are, records in all) before the first and after each; may raise `Cancelled`.
        done: keys of records that need not be made again.
        workers: processes; 1 works in this one.  The numbers are the same, their order is not.

    Raises:
        UserError: a selector that cannot work on this pool, or too little memory; one sentence.
    """
    several = [experiments] if isinstance(experiments, Experiment) else list(experiments)
    there, tasks, total = set(done), [], 0
    for experiment in several:
        total += len(experiment.keys)
        for number in range(experiment.runs):
            missing = tuple(name for run_, name, d, L in experiment.keys if run_ == number and (run_, name, d, L) not in there)
            if missing:
                tasks.append(Task(experiment, number, missing))
    finished = total - sum(len(task.selectors) for task in tasks)
    tell = on_progress or (lambda *_: None)
    tell("measuring", finished, total)
    many = min(workers, len(tasks))
    for record in in_processes(tasks, many) if many > 1 else (r for task in tasks for r in records_of(task)):
        finished += 1
        yield record
        tell("measuring", finished, total)
