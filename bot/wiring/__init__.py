"""The composition root: the only modules that name concrete parts. Modes differ here, and nowhere else.

`core` is the same in every mode; `daemon` is `botctl run`, `replay` is `botctl replay`.
"""
