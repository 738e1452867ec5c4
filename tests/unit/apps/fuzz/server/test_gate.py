"""Many at a time, or one alone."""

import threading
import time

import pytest

from framewarden.apps.fuzz.server.gate import Gate


def test_who_is_alone_waits_for_the_others_and_they_for_him():
    gate, inside, stop, together = Gate(), [], threading.Event(), []

    def work():
        while not stop.is_set():
            with gate.inside():
                inside.append(1)
                together.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with gate.alone():
                assert inside == []
                time.sleep(0.002)
                assert inside == []
            time.sleep(0.002)
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert max(together) > 1


def test_the_gate_opens_again_whatever_happens():
    gate = Gate()
    with pytest.raises(KeyboardInterrupt), gate.alone():
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), gate.inside():
        raise ZeroDivisionError
    with gate.inside():
        pass
    with gate.alone():
        pass
