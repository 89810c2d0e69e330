"""The overview: is anything wrong, and where do I go?

`selectors` reads; `model` is what was read; `problems`, `tiles`, `flow` and `fleet` decide what to say
of it, and are pure.
"""
