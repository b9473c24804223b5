"""The agent worker: one turn of an agent is one Job of this package.

It reads the context that the operator gives, asks a provider for a proposal and reports it. It executes
nothing and calls no tool.
"""
