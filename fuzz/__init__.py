"""The fuzzing room: for every parser a target that states what always holds, and a driver that tries to break it.

It may import everything: framewarden, and of the tests the oracle, the player and the vectors. Nothing imports it but
``tests/regressions/test_fuzz_corpus.py``.
"""
