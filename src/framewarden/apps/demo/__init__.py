"""``python -m framewarden.apps.demo``: a guarded server, an honest client, and one hostile input for every rule.

``chat`` is the application that is guarded, ``servers`` runs it. ``attack`` says what an attack is; ``frames``,
``payloads``, ``messages``, ``timeouts`` and ``handshakes`` are tables of them, ``attacks`` is all of them. ``judging``
carries them out on a raw socket (``apps.cases.wire``) and compares what came back with the rules, ``show`` is the
program.
"""
