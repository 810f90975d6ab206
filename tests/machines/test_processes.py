"""Several processes, or threads: the order kept, little taken in advance, and one that dies costs one item."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from afdcli.errors import Fallback
from afdcli.machines import limits, processes
from afdcli.machines.processes import CRASHED, _Trays, ordered_map, threaded_map

IMPORTED_BY = os.getpid()

# What workers do. They find these by name, so each is a function of the module.


def double(number):
    return 2 * number


def after(seconds):
    time.sleep(seconds)
    return seconds


def double_or_die(item):
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "fail":
        raise ValueError("failed")
    return 2 * item


def arrays(sizes):
    return [np.full(size, size % 251, np.uint8) for size in sizes]


def who(_):
    return os.getpid()


def imported_here(_, by=None):
    """Whether this process itself had to import this module; and whether it has Pillow, which nothing here needs."""
    return os.getpid() == IMPORTED_BY, "PIL" in sys.modules


def double_or_lack_memory(item):
    if item == "big":
        raise MemoryError
    return 2 * item


def expendable(_):
    return Path("/proc/self/oom_score_adj").read_text().strip()


def chatter(number):
    os.write(2, b"libtiff: noise\n")
    print("more noise", file=sys.stderr)
    return number


def hold(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def crashed(item):
    return f"crashed on {item}"


def mapped(function, items, workers=2, ahead=8):
    return list(ordered_map(function, items, workers=workers, ahead=ahead, crashed=crashed))


def run(program, *arguments):
    """Start `program`, which can import this module, in a Python of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@given(
    st.lists(st_numpy.arrays(st.sampled_from("?bHfd"), st_numpy.array_shapes(max_dims=3, min_side=0)), max_size=4),
    st.integers(0, 300),
)
def test_arrays_come_off_a_tray_as_they_went_on_it_whether_there_was_place_or_not(results, size):
    trays = _Trays(3, size)
    packed = [trays.put(number, [array, array.T, f"{number}"]) for number, array in enumerate(results[:3])]
    for number, array in enumerate(results[:3]):
        back = trays.take(number, packed[number])
        trays.put(number, [np.ones(size, np.uint8)])  # What was taken is not touched by what comes next.
        np.testing.assert_array_equal(back[0], array)
        np.testing.assert_array_equal(back[1], array.T)
        assert back[2] == f"{number}" and back[0].dtype == array.dtype and back[0].flags.writeable


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 1000, 100_000])
def test_arrays_from_workers_are_the_right_ones(room):
    sizes = [(number * 377 % 1900, number) for number in range(150)]
    results = ordered_map(arrays, sizes, workers=2, ahead=32, room=room, crashed=crashed)
    for (long, short), (first, second) in zip(sizes, results, strict=True):
        np.testing.assert_array_equal(first, arrays([long])[0])
        np.testing.assert_array_equal(second, arrays([short])[0])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_results_are_those_of_a_plain_loop(workers, count):
    assert mapped(double, range(count), workers) == [2 * number for number in range(count)]


@pytest.mark.slow
def test_the_order_is_kept_where_later_items_end_first():
    seconds = [0.4, 0, 0.1, 0, 0]
    assert mapped(after, seconds) == seconds


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [1, 3])
def test_few_items_are_taken_before_their_turn(ahead):
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    for number, _ in enumerate(ordered_map(double, items(), workers=2, ahead=ahead, crashed=crashed)):
        assert len(taken) <= number + ahead
    assert len(taken) == 20


def test_nothing_is_taken_before_the_first_result_is_asked_for():
    items = iter(range(3))
    ordered_map(double, items, workers=2, ahead=3, crashed=crashed)
    assert next(items) == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ahead", [1, 4, 100])
def test_an_exception_is_raised_after_the_results_before_it(workers, ahead):
    results = ordered_map(double_or_die, [1, 2, "fail", 4], workers=workers, ahead=ahead, crashed=crashed)
    assert next(results) == 2
    assert next(results) == 4
    with pytest.raises(ValueError, match="failed"):
        next(results)


@pytest.mark.slow
def test_an_exception_of_the_items_is_raised():
    def items():
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        mapped(double, items())


@pytest.mark.slow
def test_work_is_done_by_other_processes():
    pids = set(mapped(who, range(20)))
    assert os.getpid() not in pids
    assert len(pids) <= 2


def test_no_workers_means_this_process():
    assert set(mapped(who, range(3), workers=0)) == {os.getpid()}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ahead", [6, 100])
@pytest.mark.parametrize(
    "items",
    [
        ["die"],
        ["die", 1, 2, 3],
        [1, 2, 3, "die"],
        [1, "die", 2, "die", "die", 3],
        [*range(10), "die", *range(10, 30)],
    ],
)
def test_an_item_that_kills_its_process_is_the_only_one_lost(items, workers, ahead):
    expected = ["crashed on die" if item == "die" else 2 * item for item in items]
    assert mapped(double_or_die, items, workers, ahead) == expected


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [3, 100])
def test_an_exception_after_a_crash_waits_for_its_turn(ahead):
    results = ordered_map(double_or_die, [1, "die", "fail"], workers=1, ahead=ahead, crashed=crashed)
    assert next(results) == 2
    assert next(results) == "crashed on die"
    with pytest.raises(ValueError, match="failed"):
        next(results)


@pytest.mark.slow
def test_one_may_stop_early():
    results = ordered_map(double, iter(range(10**9)), workers=2, ahead=4, crashed=crashed)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    results.close()


def test_the_reason_of_a_crash_is_a_sentence():
    assert CRASHED.isprintable()


@pytest.mark.slow
def test_workers_do_not_write_to_standard_error():
    program = "import test_processes as t; print(t.mapped(t.chatter, range(5)))"
    output, noise = run(program).communicate(timeout=60)
    assert output.strip() == str(list(range(5)))
    assert noise == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is forked there")
@pytest.mark.parametrize("function", ["t.imported_here", "partial(partial(t.imported_here, by=1), by=2)"])
def test_workers_are_forked_from_a_server_that_has_what_they_need_and_nothing_else(function):
    program = f"from functools import partial; import test_processes as t; print({{*t.mapped({function}, range(9))}})"
    output, noise = run(program).communicate(timeout=60)
    assert (output.strip(), noise) == ("{(False, False)}", "")


def running(pid):
    """Whether there is such a process, and it is not just waiting to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see other processes")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    parent = run("import sys, test_processes as t; t.mapped(t.hold, [sys.argv[1]] * 4)", tmp_path)
    try:
        assert until(lambda: len(list(tmp_path.iterdir())) == 2)
        workers = [int(path.name) for path in tmp_path.iterdir()]
        assert all(running(pid) for pid in workers)
    finally:
        parent.kill()
        parent.communicate()
    assert until(lambda: not any(running(pid) for pid in workers), 10)


@pytest.mark.slow
def test_ctrl_c_is_answered_by_the_parent_alone():
    program = """
import os, signal, time, test_processes as t
results = t.ordered_map(t.after, [0.5] * 9, workers=2, ahead=9, crashed=t.crashed)
print(next(results), next(results))
try:
    os.killpg(0, signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped")
"""
    output, noise = run(program).communicate(timeout=60)
    assert output.split() == ["0.5", "0.5", "stopped"]
    assert noise == ""


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_threads_give_results_in_order_and_take_few_items_before_their_turn(threads):
    taken = []
    results = threaded_map(lambda number: -number, (taken.append(number) or number for number in range(9)), threads)
    assert next(results) == 0
    assert len(taken) == threads + 1
    assert list(results) == [-number for number in range(1, 9)]


@pytest.mark.parametrize("threads", [0, 2])
def test_what_a_thread_raises_is_raised_in_its_turn(threads):
    results = threaded_map(lambda number: 1 // (2 - number), range(5), threads)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_threads_work_while_the_caller_does():
    began = threading.Event()
    results = threaded_map(lambda number: began.set() if number == 1 else None, range(3), 1)
    next(results)
    assert began.wait(10)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_want_of_memory_costs_the_item_alone(workers):
    items = [1, "big", "big", 2, *range(20), "big"]
    expected = ["crashed on big" if item == "big" else 2 * item for item in items]
    assert mapped(double_or_lack_memory, items, workers) == expected


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("ProcessPoolExecutor", FileNotFoundError(2, "No such file or directory: '/dev/shm'")),
        ("ProcessPoolExecutor", OSError(30, "Read-only file system")),
        ("ProcessPoolExecutor", NotImplementedError("no semaphores")),
        ("_pool", BlockingIOError(11, "Resource temporarily unavailable")),
    ],
)
def test_where_no_process_can_be_started_threads_do_the_work_and_it_is_said(monkeypatch, name, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(processes, name, refuse)
    items = [1, "big", *range(20)]
    with pytest.warns(Fallback, match="threads"):
        found = mapped(double_or_lack_memory, items)
    assert found == [2, "crashed on big", *(2 * number for number in range(20))]
    with pytest.warns(Fallback):
        assert set(mapped(who, range(5))) == {os.getpid()}


@pytest.mark.slow
def test_where_no_memory_can_be_shared_results_come_through_pipes(monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(multiprocessing, "RawArray", refuse)
    sizes = [[1000], [], [7, 500]]
    results = list(ordered_map(arrays, sizes, workers=1, ahead=4, room=2000, crashed=crashed))
    for size, result in zip(sizes, results, strict=True):
        for one, array in zip(arrays(size), result, strict=True):
            np.testing.assert_array_equal(one, array)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="its pipes have other names")
@pytest.mark.parametrize("length", [90, 108, 200])
def test_a_temporary_folder_with_a_long_path_is_no_hindrance(tmp_path, monkeypatch, length):
    folder = tmp_path / ("t" * (length - len(str(tmp_path)))) if length > len(str(tmp_path)) else tmp_path
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    output, noise = run("import test_processes as t; print(t.mapped(t.double, range(3)))").communicate(timeout=60)
    assert (output.strip(), noise) == ("[0, 2, 4]", "")


@pytest.mark.slow
def test_there_are_no_more_processes_than_a_system_can_wait_for(monkeypatch):
    monkeypatch.setattr(processes, "MOST_PROCESSES", 1)
    assert len(set(mapped(who, range(40), workers=3))) == 1


def test_short_memory_halves_what_is_on_its_way_and_no_crash_of_a_decoder_does(monkeypatch):
    short, ended = [True], [0]
    monkeypatch.setattr(limits, "memory", lambda: 10**9)
    monkeypatch.setattr(limits, "memory_is_short", lambda: short[0])
    monkeypatch.setattr(limits, "ended_processes", lambda: ended[0])
    flight = processes._Flight(8)
    for _ in range(7):
        flight.landed()
    assert flight.most == 8
    flight.landed()
    assert flight.most == 4
    short[0] = False
    for _ in range(9):
        flight.landed()
    assert flight.most == 4
    assert flight.after_a_crash(6) == 6 and flight.most == 4
    ended[0] = 1
    assert flight.after_a_crash(6) == 3 and flight.most == 2
    assert flight.after_a_crash(3) == 3 and flight.most == 2
    short[0] = True
    for _ in range(9):
        flight.landed()
    assert flight.most == 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_the_same_where_memory_is_short(monkeypatch, workers):
    monkeypatch.setattr(limits, "memory", lambda: 10**9)
    monkeypatch.setattr(limits, "memory_is_short", lambda: True)
    assert mapped(double, range(60), workers, ahead=100) == [2 * number for number in range(60)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux alone is asked whom to end first")
def test_where_memory_ends_a_worker_goes_before_its_parent():
    assert set(mapped(expendable, range(4))) == {"1000"}
