"""Ctrl-C, SIGTERM, the end of the interpreter, little memory: rows stay, nobody dies of it."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np

from tests.cache_faults import PRELUDE, holds, keys_of, python, sealed


def test_ctrl_c_leaves_the_cache_sound(tmp_path: Path) -> None:
    code = f"""
        import time
        table = table_in(Path({str(tmp_path)!r}), durability="process")
        store(table, keys_of(5))
        keys = keys_of(200_000, salt=1)
        X = np.tile(keys.astype(np.float32), DIM // 32) - 3.5
        print("ready", flush=True)
        try:
            while True:
                table.put(keys, X)
                table.get(keys)
        except KeyboardInterrupt:
            print("stopped", table.get(keys_of(5))[1].all(), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "stopped True\n"
    assert holds(tmp_path, keys_of(5))


def test_the_end_of_the_interpreter_is_silent_and_keeps_rows(tmp_path: Path) -> None:
    done = python(
        f"""
        table = table_in(Path({str(tmp_path)!r}))
        store(table, keys_of(5))
        table.put(keys_of(5, salt=1), rows_of(keys_of(5, salt=1)))
        threading.Thread(target=lambda: [table.get(keys_of(5)) for _ in range(10**6)], daemon=True).start()
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert holds(tmp_path, np.concatenate([keys_of(5), keys_of(5, salt=1)]))


def test_sigterm_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    done = python(
        f"""
        table = table_in(Path({str(tmp_path)!r}))
        store(table, keys_of(5))
        os.kill(os.getpid(), signal.SIGTERM)
        """
    )
    assert done.returncode == -signal.SIGTERM
    assert holds(tmp_path, keys_of(5))


def test_little_memory_is_an_error_not_an_abort(tmp_path: Path) -> None:
    sealed(tmp_path)
    done = python(
        f"""
        table = table_in(Path({str(tmp_path)!r}))
        print(table.get(keys_of(20))[1].all())
        keys = np.zeros((3_000_000, 32), np.uint8)
        size = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), size + (64 << 20)))
        try:
            table.get(keys)
        except MemoryError:
            print("memory")
        print(table.get(keys_of(20))[1].all())
        """
    )
    assert done.stdout == "True\nmemory\nTrue\n", done.stderr
