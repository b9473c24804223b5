"""The operator's shell: watches, queue, reconcile, and what is created in the cluster. Judges nothing."""
