"""Load for servers: a compiled client that is many clients, run in a process of its own.

``_loadgen`` is the compiled client, ``generator`` starts a process that runs it and gives it commands, ``__main__`` is
what that process does. The benchmarks and the tests of many connections use it.
"""

from framewarden.apps.bench.generator import Generator, LoadError, Report

__all__ = ["Generator", "LoadError", "Report"]
