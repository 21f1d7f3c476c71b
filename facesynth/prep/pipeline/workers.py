"""Where and how widely photos are worked on: processes, threads, or a cluster, all through joblib."""

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

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of known length to show how far it is."""

BACKENDS = ("processes", "threads", "dask", "ray")
"""Where photos are worked on: this machine's processes or threads, or a cluster."""


@dataclass(frozen=True)
class Workers:
    """Where and how widely photos are worked on.

    Attributes
    ----------
    jobs : int
        Photos at a time; -1 for one a core, of the cluster where there is one.
    backend : str
        One of :data:`BACKENDS`.
    scheduler : str
        Address of the cluster: ``tcp://host:port`` of Dask's scheduler, or Ray's own; empty for one on this machine.

    Raises
    ------
    InputError
        If the jobs are 0, the backend is not known, or a scheduler is given where there is none.
    """

    jobs: int = -1
    backend: str = "processes"
    scheduler: str = ""

    def __post_init__(self) -> None:
        if self.jobs == 0:
            raise InputError("jobs is 0; needed: a number of processes, or -1 for one a core")
        if self.backend not in BACKENDS:
            raise InputError(f"backend {self.backend!r} is not known; give one of: {', '.join(BACKENDS)}")
        if self.scheduler and self.backend in ("processes", "threads"):
            raise InputError(f"a scheduler is for --backend dask or ray; {self.backend} has none")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make joblib use these workers.

        Raises
        ------
        InputError
            If the cluster's package is not installed, or it cannot be reached.
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
                name = "loky" if self.backend == "processes" else "threading"
                stack.enter_context(joblib.parallel_config(backend=name))
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
    """``work`` with OpenCV's own threads off: the photos are what runs in parallel."""
    if (
        multiprocessing.current_process().name != "MainProcess"
        and threading.current_thread() is threading.main_thread()
    ):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the keyboard is the main process's to hear
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return work(*arguments)
    finally:
        cv2.setNumThreads(threads)


def _in_folder(folder: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """``work`` where the caller is: processes outlive its change of folder, and relative paths are meant from there."""
    with suppress(OSError):  # a machine of a cluster may lack the folder; absolute paths serve all the same
        os.chdir(folder)
    return work(*arguments)


def run_all(
    calls: Iterable[tuple[Any, ...]], total: int, *, workers: Workers, progress: Progress | None = None
) -> Generator[Any, None, None]:
    """Do calls, given as a function and its arguments, and yield their results as they end, in any order.

    Parameters
    ----------
    calls : iterable of tuple
        Taken as workers come free, not all at once.
    total : int
        How many there are.
    workers : Workers
    progress : callable, optional
        Shows how far the work is.

    Raises
    ------
    OutputError
        If a call could not write, or a worker died; the calls under way are abandoned.
    """
    broken: list[Exception] = []
    folder = os.getcwd()

    def delayed() -> Iterator[Any]:
        try:
            for function, *arguments in calls:
                yield joblib.delayed(_in_folder)(folder, function, *arguments)
        except Exception as error:  # joblib takes from here in a thread of its own, where an error would be lost
            broken.append(error)

    with workers.running():
        results = _ray_results(delayed(), workers) if workers.backend == "ray" else _results(delayed(), workers, total)
        try:
            yield from progress(results, total) if progress else results
        except (FacesynthError, GeneratorExit, KeyboardInterrupt):
            raise
        except Exception as error:
            if _is_lost_worker(error):
                raise OutputError(
                    "a worker process died, most likely for want of memory; run the same command again, which goes on "
                    "where this one stopped, with fewer --jobs"
                ) from error
            raise
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # joblib's, of the calls that an error cancels
                results.close()
    if broken:
        raise broken[0]


def _results(calls: Iterator[Any], workers: Workers, total: int) -> Generator[Any, None, None]:
    local = workers.backend in ("processes", "threads")
    jobs = min(joblib.effective_n_jobs(workers.jobs), max(total, 1)) if local else workers.jobs
    with _deaf_children():
        results: Generator[Any, None, None] = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(calls)
    return results


def _wait_for_threads() -> None:
    """Let abandoned calls end: Python must not be left while threads are inside OpenCV. Idle threads don't end."""
    end = time.monotonic() + _PATIENCE
    for thread in threading.enumerate():
        if isinstance(thread, DummyProcess):
            thread.join(max(0.0, end - time.monotonic()))


_PATIENCE = 3.0
"""Seconds."""


def _start_tracker() -> None:
    """Start loky's tracker of resources, with its warnings off: what ended processes held is told as leaked, and isn't."""
    try:
        from joblib.externals.loky.backend import resource_tracker
    except ImportError:
        return
    given = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join([*([given] if given else []), "ignore:resource_tracker:UserWarning"])
    try:
        resource_tracker.ensure_running()
    finally:
        if given is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = given


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started in this block don't hear an interrupt from the keyboard: it is the main one's to stop them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _start_tracker()  # it would undo the mask as it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ray_results(calls: Iterator[Any], workers: Workers) -> Generator[Any, None, None]:
    """Ray's backend gives back lists only, so it gets the calls in handfuls."""
    with joblib.Parallel(n_jobs=workers.jobs) as parallel:
        while handful := list(islice(calls, _HANDFUL)):
            yield from parallel(handful)


_HANDFUL = 512


def _is_lost_worker(error: Exception) -> bool:
    return type(error).__name__ in ("TerminatedWorkerError", "BrokenProcessPool", "KilledWorker", "WorkerCrashedError")
