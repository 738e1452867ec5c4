"""``framewarden probe``: play a case for every published class of flaws against a server, and print what came of it.

``flaws/`` is the pack: ``classes.json``, and one file a case. ``pack`` reads it, ``table`` prints what the runner of
``apps.cases`` saw, ``command`` is the command.
"""
