"""Fuzzing: how hostile streams are made, campaigns against our own parser, and the same against somebody's server.

What may live here: mutation that knows frames (``mutating``), campaigns of a checkout, and ``server*``, the campaign
against a server by its URI. It imports everything below ``apps`` and ``apps.cases``, which plays a case against a
server. Nothing here needs Hypothesis or a compiler when it is imported.
"""
