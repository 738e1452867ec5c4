"""What a process wrote before it ended becomes a kind, a line and a place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framewarden.apps.fuzz.faults import LONGEST, read_fault

TRACEBACK = """\
noise
Traceback (most recent call last):
  File "/a/fuzz/worker.py", line 12, in judge
    one(data)
  File "/a/fuzz/targets/stream.py", line 72, in one
    assert got == wanted, "not the same"
           ^^^^^^^^^^^^^
  File "src/framewarden/engine/_inspector.pyx", line 5, in framewarden.engine._inspector.Inspector.receive_data
AssertionError: not the same
"""
OVERFLOW = """\
==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602 at pc 0x5 bp 0x7 sp 0x7
WRITE of size 1 at 0x602 thread T0
    #0 0x55d0 in __asan_memcpy (/b/kernels_c+0xb)
    #1 0x55d1 in scalar_unmask /b/ext/kernels/scalar.c:40:9
    #2 0x55d2 in check_unmask /b/fuzz/native/kernels.c:64:5
    #3 0x55d3 in LLVMFuzzerTestOneInput /b/fuzz/native/kernels.c:150:9
    #4 0x55d4 in fuzzer::Fuzzer::ExecuteCallback (/b/kernels_c+0x1)

"""
TOO_LARGE = """\
==7==ERROR: AddressSanitizer: requested allocation size 0x12c00000 (0x12c01000 after adjustments) exceeds maximum
    #0 0x7f in __interceptor_malloc (/b/asan.so+0x1)
    #1 0x7f in __pyx_f_growing_reserve src/framewarden/codec/_payload.c:60:1
SUMMARY: AddressSanitizer: allocation-size-too-big /x in malloc
"""
UNDEFINED = """\
src/framewarden/codec/_messages.c:5532:20: runtime error: shift exponent 64 is too large
    #0 0x7f in __pyx_f_read_head src/framewarden/codec/_messages.c:5532:20
    #1 0x7f in __pyx_f_next src/framewarden/codec/_messages.c:99:1
"""
ABORTED = """\
avx2: validate: the second piece
==9== ERROR: libFuzzer: deadly signal
    #0 0x5a in __sanitizer_print_stack_trace (/b/kernels_c+0x1)
    #1 0x5b in must /b/fuzz/native/kernels.c:33:5
    #2 0x5c in check_validate /b/fuzz/native/kernels.c:80:9
"""


def test_an_exception():
    fault = read_fault(TRACEBACK, 1)
    assert fault.kind == "AssertionError"
    assert fault.summary == "AssertionError: not the same"
    assert fault.stack[0].startswith("_inspector.pyx:framewarden.engine._inspector.Inspector.receive_data")
    assert fault.stack[1] == 'stream.py:one: assert got == wanted, "not the same"'


def test_the_last_exception_counts():
    assert read_fault(
        TRACEBACK + "\nDuring handling\n\n" + TRACEBACK.replace("AssertionError", "KeyError"), 1
    ).kind == ("KeyError")


def test_a_memory_error():
    fault = read_fault(OVERFLOW, 1)
    assert fault.kind == "heap-buffer-overflow"
    assert fault.stack == ("scalar_unmask scalar.c:40", "check_unmask kernels.c:64")


def test_an_allocation_that_follows_what_was_declared():
    fault = read_fault(TOO_LARGE, 1)
    assert fault.kind == "allocation-size-too-big"
    assert fault.stack == ("__pyx_f_growing_reserve _payload.c:60",)


def test_a_time_out_is_the_same_however_long_it_took():
    said = "==1== ERROR: libFuzzer: timeout after {} seconds\n    #0 0x5 in f /a/x.c:1:2\n"
    assert read_fault(said.format(31), 70).signature == read_fault(said.format(32), 70).signature


def test_undefined_behaviour():
    fault = read_fault(UNDEFINED, 1)
    assert fault.kind == "undefined-behavior"
    assert fault.summary == "shift exponent 64 is too large"
    assert fault.stack[0] == "_messages.c:5532"


def test_what_a_c_target_says_before_it_aborts():
    fault = read_fault(ABORTED, 77)
    assert fault.kind == "deadly signal"
    assert fault.summary == "avx2: validate: the second piece"
    assert fault.stack == ("must kernels.c:33", "check_validate kernels.c:80")


@pytest.mark.parametrize(("code", "kind"), [(-14, "SIGALRM"), (3, "exit code 3")])
def test_a_process_that_says_nothing(code, kind):
    assert read_fault("", code).kind == kind


def test_the_same_fault_at_another_line_number_is_the_same():
    assert read_fault(TRACEBACK, 1).signature == read_fault(TRACEBACK.replace("line 72", "line 80"), 1).signature


@pytest.mark.parametrize(
    "other",
    [
        TRACEBACK.replace("AssertionError", "ValueError"),
        TRACEBACK.replace("in one", "in two"),
        TRACEBACK.replace("assert got == wanted", "assert got is wanted"),
    ],
)
def test_another_kind_or_another_place_is_another_fault(other):
    assert read_fault(TRACEBACK, 1).signature != read_fault(other, 1).signature


@given(st.lists(st.sampled_from([TRACEBACK, OVERFLOW, UNDEFINED, ABORTED]) | st.text(max_size=80)).map("".join))
def test_any_text_can_be_read(said):
    fault = read_fault(said, 1)
    assert fault.summary.isprintable()
    assert len(fault.summary) <= LONGEST + 3
    assert len(fault.stack) <= 3
