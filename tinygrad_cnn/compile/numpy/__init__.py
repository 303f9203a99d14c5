"""The NumPy executor: a plan is a list of NumPy calls whose arrays exist before it runs.

Each call is bound to its arrays, its result's among them, so that running the plan is calling one after the other, and
nothing is allocated.
"""
