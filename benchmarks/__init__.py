"""How fast framewarden is, beside its peers and beside the limits of the machine; see README.md.

Here lives what measures: nothing of this is in the package, nothing imports it.
"""
