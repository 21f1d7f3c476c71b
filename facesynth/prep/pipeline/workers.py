"""Parallel execution in processes, in threads or on a cluster, all through joblib."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.dummy import DummyProcess
from typing import Any

import cv2
import joblib

from facesynth.errors import FacesynthError, InputError, OutputError
from facesynth.processes import end_with

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of known length to show its progress."""

BACKENDS = ("processes", "threads", "dask", "ray")
"""Processes or threads of this machine, or a cluster."""


@dataclass(frozen=True)
class Workers:
    """How work is done in parallel.

    Attributes
    ----------
    jobs : int
        Photos at a time; -1 for one per core (of the cluster, if there is one).
    backend : str
        One of :data:`BACKENDS`.
    scheduler : str
        Address of the cluster: ``tcp://host:port`` of Dask's scheduler, or Ray's own; empty to start one on this machine.

    Raises
    ------
    InputError
        If ``jobs`` is 0, the backend is unknown, or a scheduler is given for a backend that has none.

    Examples
    --------
    >>> Workers(jobs=2).backend
    'processes'
    """

    jobs: int = -1
    backend: str = "processes"
    scheduler: str = ""

    def __post_init__(self) -> None:
        if self.jobs == 0:
            raise InputError("jobs is 0; needed: a number of processes, or -1 for one per core")
        if self.backend not in BACKENDS:
            raise InputError(f"backend {self.backend!r} is not known; give one of: {', '.join(BACKENDS)}")
        if self.scheduler and self.backend in ("processes", "threads"):
            raise InputError(f"a scheduler is for --backend dask or ray; {self.backend} has none")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make joblib use these workers within the context.

        Raises
        ------
        InputError
            If the package of the cluster is not installed, or the cluster cannot be reached.
        """
        with ExitStack() as stack:
            if self.backend == "dask":
                stack.enter_context(joblib.parallel_config(backend="dask", client=stack.enter_context(self._dask())))
            elif self.backend == "ray":
                self._ray()
                stack.enter_context(joblib.parallel_config(backend="ray"))
            else:
                if self.backend == "threads":
                    stack.callback(cv2.setNumThreads, cv2.getNumThreads())
                    cv2.setNumThreads(1)
                    stack.callback(_wait_for_threads)
                    stack.enter_context(joblib.parallel_config(backend="threading"))
                else:
                    watch = {"initializer": end_with, "initargs": (os.getpid(),)}
                    stack.enter_context(joblib.parallel_config(backend="loky", **watch))
            yield

    def _dask(self) -> Any:
        try:
            from dask import distributed
        except ImportError as error:
            raise InputError("--backend dask needs Dask: pip install 'facesynth[dask]'") from error
        try:
            client: Callable[..., Any] = distributed.Client
            return client(self.scheduler, timeout=10) if self.scheduler else client(dashboard_address=None)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"no Dask scheduler answers at {self.scheduler!r}; give its address, as tcp://host:8786: {error}"
            ) from error

    def _ray(self) -> None:
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError as error:
            raise InputError("--backend ray needs Ray: pip install 'facesynth[ray]'") from error
        try:
            if not ray.is_initialized():
                ray.init(address=self.scheduler or None, log_to_driver=False)
        except (OSError, ValueError, ConnectionError) as error:
            raise InputError(f"no Ray cluster answers at {self.scheduler!r}: {error}") from error
        register_ray()


def call_one_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``work`` with OpenCV's own threads disabled, because photos are processed in parallel already."""
    if (
        multiprocessing.current_process().name != "MainProcess"
        and threading.current_thread() is threading.main_thread()
    ):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles keyboard interrupts
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return work(*arguments)
    finally:
        cv2.setNumThreads(threads)


def _in_folder(folder: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``work`` in the caller's folder: worker processes outlive a change of folder, and paths may be relative."""
    with suppress(OSError):  # a machine of a cluster may lack the folder; absolute paths still work
        os.chdir(folder)
    return work(*arguments)


def run_all(
    calls: Iterable[tuple[Any, ...]], total: int, *, workers: Workers, progress: Progress | None = None
) -> Generator[Any, None, None]:
    """Run calls in parallel and yield their results as they finish, in any order.

    Parameters
    ----------
    calls : iterable of tuple
        A function and its arguments each; taken as workers become free, not all at once.
    total : int
        Number of calls.
    workers : Workers
    progress : callable, optional
        Shows the progress.

    Raises
    ------
    OutputError
        If a call could not write, or a worker died; running calls are abandoned.
    """
    listing_errors: list[Exception] = []
    folder = os.getcwd()

    def delayed() -> Iterator[Any]:
        try:
            for function, *arguments in calls:
                yield joblib.delayed(_in_folder)(folder, function, *arguments)
        except Exception as error:  # joblib iterates in its own thread, where an error would be lost
            listing_errors.append(error)

    with workers.running():
        results = _ray_results(delayed(), workers) if workers.backend == "ray" else _results(delayed(), workers, total)
        try:
            yield from progress(results, total) if progress else results
        except (FacesynthError, GeneratorExit, KeyboardInterrupt):
            raise
        except Exception as error:
            if _is_lost_worker(error):
                raise OutputError(
                    "a worker process died, most likely out of memory; run the same command again with fewer --jobs, "
                    "it continues where this one stopped"
                ) from error
            raise
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # joblib warns about the calls that an error cancels
                results.close()
    if listing_errors:
        raise listing_errors[0]


def _results(calls: Iterator[Any], workers: Workers, total: int) -> Generator[Any, None, None]:
    local = workers.backend in ("processes", "threads")
    jobs = min(joblib.effective_n_jobs(workers.jobs), max(total, 1)) if local else workers.jobs
    with _ignore_interrupts_in_children():
        results: Generator[Any, None, None] = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(calls)
    return results


def _wait_for_threads() -> None:
    """Wait for abandoned calls: Python must not exit while threads are inside OpenCV. Idle threads never end."""
    end = time.monotonic() + _PATIENCE
    for thread in threading.enumerate():
        if isinstance(thread, DummyProcess):
            thread.join(max(0.0, end - time.monotonic()))


_PATIENCE = 3.0
"""Longest wait for abandoned threads, seconds."""


def _start_tracker() -> None:
    """Start loky's resource tracker without its warnings: it wrongly reports what ended processes held as leaks."""
    try:
        from joblib.externals.loky.backend import resource_tracker
    except ImportError:
        return
    previous = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join([*([previous] if previous else []), "ignore:resource_tracker:UserWarning"])
    try:
        resource_tracker.ensure_running()
    finally:
        if previous is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = previous


@contextmanager
def _ignore_interrupts_in_children() -> Iterator[None]:
    """Processes started in this context ignore keyboard interrupts: the main process stops them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _start_tracker()  # starting it would reset the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ray_results(calls: Iterator[Any], workers: Workers) -> Generator[Any, None, None]:
    """Results of Ray's backend, which only returns lists: the calls are passed in batches."""
    with joblib.Parallel(n_jobs=workers.jobs) as parallel:
        while batch := list(islice(calls, _BATCH)):
            yield from parallel(batch)


_BATCH = 512
"""Calls that Ray gets at a time."""


def _is_lost_worker(error: Exception) -> bool:
    return type(error).__name__ in ("TerminatedWorkerError", "BrokenProcessPool", "KilledWorker", "WorkerCrashedError")
