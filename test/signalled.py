"""Runs a program of this package in forked processes, each signalled at one moment of its life.

Arguments: a module with a `main`, N to take each N-th of the moments, then ROS arguments. Prints,
as JSON, of each moment: its name, the signal, the exit status and what the process wrote.

The signal is a real one. What makes it come at a moment and not at a time: the process sends it
to itself on entering, or on leaving, one function.
"""

import functools
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback

import rclpy.context
import rclpy.executors
import rclpy.node

NODE = rclpy.node.Node
EXECUTOR = rclpy.executors.SingleThreadedExecutor
# Where, before or after it, and at which call of it.
MOMENTS = {
    "context made": (rclpy.context.Context, "init", "after", 1),
    "node begun": (NODE, "__init__", "before", 1),
    "first parameter": (NODE, "declare_parameter", "before", 1),
    "first publisher": (NODE, "create_publisher", "after", 1),
    "a service": (NODE, "create_service", "before", 3),
    "first timer": (NODE, "create_timer", "after", 1),
    "executor begun": (EXECUTOR, "__init__", "before", 1),
    "executor made": (EXECUTOR, "__init__", "after", 1),
    "first spin": (EXECUTOR, "spin_once", "before", 1),
    "third spin": (EXECUTOR, "spin_once", "after", 3),
    "node destroyed": (NODE, "destroy_node", "before", 1),
    "context destroyed": (rclpy.context.Context, "try_shutdown", "after", 1),
}


def signal_at(owner, name, where, call, number):
    """Make the process signal itself before or after a certain call of a function."""
    inner, calls = getattr(owner, name), 0

    @functools.wraps(inner)
    def outer(*arguments, **options):
        nonlocal calls
        calls += 1
        if where == "before" and calls == call:
            os.kill(os.getpid(), number)
        try:
            return inner(*arguments, **options)
        finally:
            if where == "after" and calls == call:
                os.kill(os.getpid(), number)

    setattr(owner, name, outer)


def run(program, arguments, moment, number):
    """Exit status and output of one process."""
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = 1
            try:
                if MOMENTS[moment][1] in ("destroy_node", "try_shutdown"):
                    signal_at(EXECUTOR, "spin_once", "after", 2, number)
                signal_at(*MOMENTS[moment], number)
                status = program.main(arguments)
            except BaseException:
                traceback.print_exc()
            # Threads of libraries did not come along, which the interpreter's end would take ill.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        output.seek(0)
        return status, output.read().decode(errors="replace")


def main():
    program, step, *arguments = sys.argv[1:]
    program = importlib.import_module(program)
    # What is slow to import is imported once, for all of the forked processes.
    for name in ("duml_tracker_ros.node.tracker_node", "duml_tracker_ros.console.bridge"):
        importlib.import_module(name)
    found = []
    for index, moment in enumerate(list(MOMENTS)[:: int(step)]):
        number = (signal.SIGINT, signal.SIGTERM)[index % 2]
        found.append((moment, number.name, *run(program, arguments, moment, number)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
